"""`docker save` of docker before 1.10: layers that name their parents."""

import hashlib
import json

import pytest

from lamina.errors import BadInput, DigestMismatch
from lamina.images import dockerarchive
from lamina.testing.sample_images import Link, sample
from lamina.testing.trees import tar_of

LOWER, UPPER = tar_of("d d\nf d/a one"), tar_of("f d/b two")
FIRST, SECOND, THIRD = (f"{number:064x}" for number in (1, 2, 3))


def legacy(*, repositories=None, **more):
    """Two layers as docker 1.9 wrote them, and a third image on the first of them."""

    def document(name, parent, **fields):
        made = {"architecture": "amd64", "config": {"Cmd": ["sh"]}, "docker_version": "1.9.1"}
        made |= {"created": "2015-12-08T18:31:50.979824705Z", "id": name, "os": "linux"}
        made |= {"parent": parent} if parent else {}
        return json.dumps(made | fields).encode()

    files = {
        f"{FIRST}/VERSION": b"1.0",
        f"{FIRST}/json": document(FIRST, ""),
        f"{FIRST}/layer.tar": LOWER,
        f"{SECOND}/VERSION": b"1.0",
        f"{SECOND}/json": document(
            SECOND,
            FIRST,
            container_config={"Cmd": ["/bin/sh", "-c", "echo a && b > <c>"]},
            author="me & you",
            Size=7,
        ),
        f"{SECOND}/layer.tar": UPPER,
        f"{THIRD}/json": document(THIRD, FIRST),
        f"{THIRD}/layer.tar": Link(f"../{SECOND}/layer.tar"),
    }
    if repositories is not None:
        files["repositories"] = json.dumps(repositories).encode()
    return {**files, **more}


def read(members):
    return list(dockerarchive.images(members))


def test_what_has_a_name_and_what_leads_nowhere(in_tar, in_directory):
    files = legacy(repositories={"a/b": {"1": SECOND, "2": SECOND}, "low": {"latest": FIRST}})
    plain = {**files, f"{THIRD}/layer.tar": UPPER}  # in a directory a link is no file
    for members in (in_tar(files), in_directory(plain)):
        low, top, nameless = read(members)
        assert [name.familiar for name in top.names] == ["a/b:1", "a/b:2"]
        assert [name.familiar for name in low.names] == ["low:latest"]
        assert nameless.names == ()
        assert [each.diff_id for each in top.layers] == [
            f"sha256:{hashlib.sha256(tar).hexdigest()}" for tar in (LOWER, UPPER)
        ]
        with top.layers[1].open() as stream:
            assert stream.read(1 << 20) == UPPER


def test_without_names_the_tops_alone(in_tar):
    assert len(read(in_tar(legacy()))) == 2


def test_the_config_is_written_as_go_writes_it(in_tar):
    (image, _) = read(in_tar(legacy()))
    text = image.config.raw.decode()
    assert '"created_by":"/bin/sh -c echo a \\u0026\\u0026 b \\u003e \\u003cc\\u003e"' in text
    assert '"author":"me \\u0026 you"' in text
    assert ", " not in text
    document = json.loads(text)
    assert list(document) == sorted(document)
    assert not {"id", "parent", "Size"} & set(document)
    assert [each["created"] for each in document["history"]] == [
        "2015-12-08T18:31:50.979824705Z"
    ] * 2


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"repositories": b'{"a":{"1":"%s"}}' % (b"9" * 64)}, "which is not there"),
        ({"repositories": b'{"UPPER":{"1":"%s"}}' % SECOND.encode()}, "invalid reference"),
        ({"repositories": b"[]"}, "not a JSON object"),
        ({f"{FIRST}/json": b'{"parent":"%s"}' % (b"9" * 64)}, "stands on the missing layer"),
        ({f"{FIRST}/json": b"nonsense"}, "not JSON"),
        ({f"{FIRST}/layer.tar": b"\x1f\x8bnonsense"}, "gzip"),
    ],
)
def test_what_does_not_hang_together_is_refused(in_tar, more, reason):
    with pytest.raises((BadInput, DigestMismatch), match=reason):
        read(in_tar(legacy() | more))


def test_a_circle_of_parents_ends(in_tar):
    document = json.dumps({"parent": SECOND}).encode()
    files = legacy(repositories={"a": {"1": SECOND}}, **{f"{FIRST}/json": document})
    with pytest.raises(BadInput, match="more than 1000 layers"):
        read(in_tar(files))


def test_many_links_to_one_layer_are_refused(in_tar):
    files = {}
    for number in range(2001):
        files[f"{number:064x}/json"] = b"{}"
        files[f"{number:064x}/layer.tar"] = Link(f"../{0:064x}/layer.tar")
    files[f"{0:064x}/layer.tar"] = LOWER
    with pytest.raises(BadInput, match="2001 layers, more than 2000"):
        read(in_tar(files))


def test_the_newer_document_counts(in_tar):
    """Docker 1.10 to 24 write both; what the new one says is what the image is."""
    image = sample("f x y", names=["new:1"])
    item = [{"Config": f"{image.id[7:]}.json", "RepoTags": ["new:1"], "Layers": ["x/layer.tar"]}]
    files = legacy(
        repositories={"old": {"1": SECOND}},
        **{
            "manifest.json": json.dumps(item).encode(),
            f"{image.id[7:]}.json": image.config,
            "x/layer.tar": image.layers[0],
        },
    )
    (found,) = read(in_tar(files))
    assert found.config.id == image.id
