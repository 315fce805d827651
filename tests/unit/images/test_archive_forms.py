"""Docker archives and OCI layouts, in every form that tools of the field have written."""

import io
import json
import tarfile

import pytest

from lamina.errors import BadArchive, BadDocument, BadInput, DigestMismatch
from lamina.images import dockerarchive, ocilayout
from lamina.images.dockerarchive import ArchiveWriter
from lamina.images.tape import StreamTape
from lamina.spec.imageconfig import ImageConfig
from lamina.testing.sample_images import (
    Link,
    as_tar,
    classic,
    descriptor,
    digest,
    hybrid,
    index,
    layout,
    linked,
    oci_manifest,
    packed,
    sample,
)

HERE = ("linux", "amd64")
IMAGE = sample("d d\nf d/a one", "f d/b two\nw d/a", names=["demo/x:1", "x:2"])
OTHER = sample("d d\nf d/a one", "f d/c three", names=["localhost:5000/y:latest"])
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
REF = "org.opencontainers.image.ref.name"


def bytes_of(layer):
    with layer.open() as stream:
        return b"".join(iter(lambda: stream.read(4096), b""))


def same(found, expected, pack=bytes):
    assert found.config.raw == expected.config
    assert [layer.diff_id for layer in found.layers] == expected.diff_ids
    assert [bytes_of(layer) for layer in found.layers] == [pack(tar) for tar in expected.layers]


FORMS = {
    "classic": (classic, bytes),
    "classic, layers compressed": (lambda *images: classic(*images, pack=packed), packed),
    "linked layers": (linked, bytes),
    "hybrid": (hybrid, bytes),
    "hybrid, layers compressed": (lambda *images: hybrid(*images, pack=packed), packed),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_docker_archive(in_tar, form):
    make, pack = FORMS[form]
    members = in_tar(make(IMAGE, OTHER))
    assert dockerarchive.is_archive(members)
    first, second = dockerarchive.images(members)
    same(first, IMAGE, pack)
    same(second, OTHER, pack)
    assert [name.familiar for name in first.names] == ["demo/x:1", "x:2"]
    assert [name.familiar for name in second.names] == ["localhost:5000/y:latest"]


def test_blobs_that_came_compressed_are_remembered(in_tar):
    (plain,) = dockerarchive.images(in_tar(hybrid(IMAGE)))
    assert plain.manifest is None
    (found,) = dockerarchive.images(in_tar(hybrid(IMAGE, pack=packed)))
    raw, kind = found.manifest
    assert kind == MANIFEST
    assert json.loads(raw)["config"]["digest"] == IMAGE.id
    assert [layer.blob.digest for layer in found.layers] == [
        digest(packed(tar)) for tar in IMAGE.layers
    ]


@pytest.mark.parametrize("place", ["in_tar", "in_directory"])
def test_a_layout(request, place):
    members = request.getfixturevalue(place)(layout(IMAGE, OTHER))
    assert ocilayout.is_layout(members)
    assert not dockerarchive.is_archive(members)
    first, second = ocilayout.images(members, HERE)
    same(first, IMAGE, packed)
    same(second, OTHER, packed)
    assert [name.familiar for name in first.names] == ["demo/x:1", "x:2"]
    assert first.manifest == (oci_manifest(IMAGE), MANIFEST)
    assert first.layers[0].blob.size == len(packed(IMAGE.layers[0]))
    assert str(first.layers[0].blob.digest) == digest(packed(IMAGE.layers[0]))


def test_no_name_is_no_name(in_tar):
    unnamed = sample("f a b")
    (found,) = dockerarchive.images(in_tar(classic(unnamed)))
    assert found.names == ()
    (found,) = ocilayout.images(in_tar(layout(unnamed)), HERE)
    assert found.names == ()


def test_an_image_without_layers(in_tar):
    nothing = sample(names=["none:1"])
    (found,) = dockerarchive.images(in_tar(classic(nothing)))
    assert found.layers == ()


# --- layouts that hold more than one thing ----------------------------------------------


def platformed(image, os="linux", arch="amd64", variant="", **fields):
    platform = {"os": os, "architecture": arch, **({"variant": variant} if variant else {})}
    return descriptor(MANIFEST, oci_manifest(image), platform=platform, **fields)


def blobs(*images):
    files = {}
    for image in images:
        files.update(layout(image))
    return files


def nested(files, *descriptors, names=("demo/x:1",)):
    inner = index(*descriptors)
    outer = [descriptor(INDEX, inner, annotations={REF: name}) for name in names]
    path = "blobs/" + digest(inner).replace(":", "/")
    return {**files, path: inner, "index.json": index(*outer)}


ARM = sample("f a arm", architecture="arm64")
V3 = sample("f a v3", variant="v3")


@pytest.mark.parametrize(
    ("wanted", "entries"),
    [
        (IMAGE, [platformed(ARM, arch="arm64"), platformed(IMAGE)]),
        (IMAGE, [platformed(V3, variant="v3"), platformed(IMAGE)]),
        (IMAGE, [descriptor(MANIFEST, oci_manifest(ARM)), platformed(IMAGE)]),
        (IMAGE, [platformed(ARM, os="unknown", arch="unknown"), platformed(IMAGE)]),
        (V3, [platformed(ARM, arch="arm64"), platformed(V3, variant="v3")]),
        (ARM, [platformed(V3, os="windows"), descriptor(MANIFEST, oci_manifest(ARM))]),
    ],
    ids=["other first", "variant first", "unsaid first", "attestation", "only variant", "unsaid"],
)
def test_the_platform_chooses(in_tar, wanted, entries):
    files = nested(blobs(IMAGE, ARM, V3), *entries)
    (found,) = ocilayout.images(in_tar(files), HERE)
    assert found.config.raw == wanted.config
    flat = {**files, "index.json": index(*({**e, "annotations": {REF: "x:1"}} for e in entries))}
    assert found.config.raw in [each.config.raw for each in ocilayout.images(in_tar(flat), HERE)]


def test_a_missing_platform_says_what_there_is(in_tar):
    files = nested(blobs(ARM), platformed(ARM, arch="arm64"), platformed(ARM, os="windows"))
    with pytest.raises(BadDocument, match="no image for linux/amd64; it has linux/arm64, windows/"):
        list(ocilayout.images(in_tar(files), HERE))
    with pytest.raises(BadDocument, match="it has none at all"):
        list(ocilayout.images(in_tar(nested(blobs(ARM))), HERE))


def test_an_image_of_another_platform_alone_is_taken(in_tar):
    files = {**blobs(ARM), "index.json": index(platformed(ARM, arch="arm64"))}
    (found,) = ocilayout.images(in_tar(files), HERE)
    assert found.config.architecture == "arm64"


def test_what_is_said_of_an_image_is_no_image(in_tar):
    said = platformed(IMAGE, os="unknown", arch="unknown")
    named = platformed(ARM, arch="arm64", annotations={REF: "x:1"})
    for entries in ([said, named], [said, platformed(ARM, arch="arm64")]):
        files = {**blobs(IMAGE, ARM), "index.json": index(*entries)}
        (found,) = ocilayout.images(in_tar(files), HERE)
        assert found.config.raw == ARM.config


def test_several_names_of_one_manifest_are_one_image(in_tar):
    files = nested(blobs(IMAGE), platformed(IMAGE), names=("a:1", "b:2", "a:1"))
    (found,) = ocilayout.images(in_tar(files), HERE)
    assert [name.familiar for name in found.names] == ["a:1", "b:2"]


def test_containerds_full_name_goes_before_the_tag(in_tar):
    entry = platformed(
        IMAGE, annotations={REF: "1.0", "io.containerd.image.name": "docker.io/library/full:1.0"}
    )
    (found,) = ocilayout.images(in_tar({**blobs(IMAGE), "index.json": index(entry)}), HERE)
    assert [name.familiar for name in found.names] == ["full:1.0"]


@pytest.mark.parametrize("name", ["UPPER", "a b", "-x", "a@sha256:00", "x" * 300, "\u001b[2J"])
def test_names_that_are_none_are_left_out(in_tar, name):
    entry = platformed(IMAGE, annotations={REF: name})
    (found,) = ocilayout.images(in_tar({**blobs(IMAGE), "index.json": index(entry)}), HERE)
    assert found.names == ()


def test_what_is_no_image_is_passed_over(in_tar):
    signature = sample("f s s")
    files = {**blobs(IMAGE), **layout(signature, config_type="application/vnd.example+json")}
    foreign = descriptor("application/vnd.example.thing", b"thing")
    artefact = descriptor(
        MANIFEST, oci_manifest(signature, config_type="application/vnd.example+json")
    )
    files["index.json"] = index(foreign, artefact, platformed(IMAGE))
    (found,) = ocilayout.images(in_tar(files), HERE)
    same(found, IMAGE, packed)
    for only in (foreign, artefact):
        with pytest.raises(BadDocument, match=r"no container image but .*application/vnd.example"):
            list(ocilayout.images(in_tar({**files, "index.json": index(only)}), HERE))


def test_indexes_within_themselves_end(in_tar):
    files = blobs(IMAGE)
    inner = platformed(IMAGE)
    for _ in range(8):
        raw = index(inner)
        files["blobs/" + digest(raw).replace(":", "/")] = raw
        inner = descriptor(INDEX, raw)
    with pytest.raises(BadDocument, match="nested too deep"):
        list(ocilayout.images(in_tar({**files, "index.json": index(inner)}), HERE))


# --- what is wrong ----------------------------------------------------------------------


def changed(files, name, data):
    return {**files, name: data}


def blob_path(data):
    return "blobs/" + digest(data).replace(":", "/")


def read_all(members):
    source = dockerarchive.images(members) if dockerarchive.is_archive(members) else None
    for image in source if source is not None else ocilayout.images(members, HERE):
        for layer in image.layers:
            bytes_of(layer)


CLASSIC, LAYOUT = classic(IMAGE), layout(IMAGE)
RAW = oci_manifest(IMAGE)
ITEM = json.loads(CLASSIC["manifest.json"])[0]


def manifest_json(**fields):
    return changed(CLASSIC, "manifest.json", json.dumps([{**ITEM, **fields}]).encode())


def relabelled(**fields):
    raw = json.dumps({**json.loads(RAW), **fields}).encode()
    return {**LAYOUT, blob_path(raw): raw, "index.json": index(descriptor(MANIFEST, raw))}


WRONG = {
    "manifest.json is no list": (changed(CLASSIC, "manifest.json", b"{}"), "not a JSON list"),
    "an item is null": (changed(CLASSIC, "manifest.json", b"[null]"), "not an object"),
    "no config": (manifest_json(Config=None), "an image without a Config"),
    "config above the root": (manifest_json(Config="../../etc/passwd"), "climbs above the root"),
    "config of the host": (manifest_json(Config="/etc/passwd"), "no file '/etc/passwd'"),
    "config is missing": (manifest_json(Config="0.json"), "no file '0.json'"),
    "config of a NUL": (manifest_json(Config="a\0b"), "not a string"),
    "config with another digest": (
        manifest_json(Config=f"{OTHER.id[7:]}.json") | {f"{OTHER.id[7:]}.json": IMAGE.config},
        "not what it is called",
    ),
    "too few layers": (manifest_json(Layers=ITEM["Layers"][:1]), "names 1 layers and the config 2"),
    "too many layers": (manifest_json(Layers=ITEM["Layers"] * 2), "names 4 layers"),
    "layers as text": (manifest_json(Layers="x"), "not a list"),
    "a layer above the root": (manifest_json(Layers=["../a", "../b"]), "climbs above the root"),
    "a layer is missing": (manifest_json(Layers=["a", "b"]), "no file 'a'"),
    "a bad tag": (manifest_json(RepoTags=["UPPER:x"]), "invalid reference"),
    "a tag with a digest": (manifest_json(RepoTags=[f"x@{IMAGE.id}"]), "which is no tag"),
    "tags as numbers": (manifest_json(RepoTags=[1]), "not a string"),
    "too many tags": (manifest_json(RepoTags=["x:1"] * 10001), "10001 names"),
    "two kinds of Layers": (manifest_json(layers=[]), "some readers take for another"),
    "a giant config": (
        changed(CLASSIC, f"{IMAGE.id[7:]}.json", bytes(5 << 20)),
        "5242880 bytes, more than",
    ),
    "index.json is an image": (changed(LAYOUT, "index.json", RAW), "says it is"),
    "index.json is missing a key": (changed(LAYOUT, "index.json", b'{"schemaVersion":2}'), None),
    "a layout of the future": (
        changed(LAYOUT, "oci-layout", b'{"imageLayoutVersion":"2.0.0"}'),
        "unknown version '2.0.0'",
    ),
    "oci-layout is no JSON": (changed(LAYOUT, "oci-layout", b"x"), "not JSON"),
    "a changed manifest": (changed(LAYOUT, blob_path(RAW), RAW.replace(b"2", b"3", 1)), "promised"),
    "a longer manifest": (changed(LAYOUT, blob_path(RAW), RAW + b" "), "were promised"),
    "a changed config": (
        changed(LAYOUT, blob_path(IMAGE.config), IMAGE.config.replace(b"linux", b"l1nux")),
        "as was promised",
    ),
    "a changed layer": (
        changed(LAYOUT, blob_path(packed(IMAGE.layers[0])), packed(OTHER.layers[1])),
        "promised",
    ),
    "a shorter layer": (
        changed(LAYOUT, blob_path(packed(IMAGE.layers[0])), packed(IMAGE.layers[0])[:-1]),
        "were promised",
    ),
    "a missing layer": (
        {k: v for k, v in LAYOUT.items() if k != blob_path(packed(IMAGE.layers[0]))},
        "no file 'blobs/sha256/",
    ),
    "a layer that is a link": (
        changed(LAYOUT, blob_path(packed(IMAGE.layers[0])), Link("/etc/passwd")),
        "no file 'blobs/sha256/",
    ),
    "fewer layers than diff IDs": (
        relabelled(layers=json.loads(RAW)["layers"][:1]),
        "1 layers and the config 2",
    ),
    "an encrypted layer": (
        relabelled(
            layers=[
                {**each, "mediaType": each["mediaType"] + "+encrypted"}
                for each in json.loads(RAW)["layers"]
            ]
        ),
        "unreadable type",
    ),
    "an index and a manifest": (relabelled(manifests=[]), "two documents"),
    "a manifest that claims a giant": (
        changed(
            LAYOUT,
            "index.json",
            index({"mediaType": MANIFEST, "digest": digest(RAW), "size": 1 << 40}),
        ),
        "claims 1099511627776 bytes",
    ),
    "a digest that climbs": (
        changed(
            LAYOUT,
            "index.json",
            index({"mediaType": MANIFEST, "digest": "sha256:../../x", "size": 1}),
        ),
        "invalid digest",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said(in_tar, name):
    files, wanted = WRONG[name]
    if wanted is None:
        read_all(in_tar(files))
        return
    with pytest.raises(BadInput) as caught:
        read_all(in_tar(files))
    assert wanted in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_layer_that_is_a_link_is_refused_in_a_directory_too(in_directory):
    path = blob_path(packed(IMAGE.layers[0]))
    with pytest.raises(BadArchive):
        read_all(in_directory(changed(LAYOUT, path, Link("/etc/passwd"))))


@pytest.mark.parametrize(
    "name", [f"sha256:{IMAGE.id[7:]}", IMAGE.id[7:], f"x/{IMAGE.id[7:]}.json", "config.json"]
)
def test_the_config_file_may_be_called_as_tools_do(in_tar, name):
    (found,) = dockerarchive.images(in_tar({**manifest_json(Config=name), name: IMAGE.config}))
    assert found.config.id == IMAGE.id
    other = dockerarchive.images(in_tar({**manifest_json(Config=name), name: OTHER.config}))
    if name == "config.json":  # which promises nothing
        assert [each.config.id for each in other] == [OTHER.id]
        return
    with pytest.raises(DigestMismatch):
        list(other)


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        ({"bin/sh": b"x"}, "neither a docker archive nor an OCI layout"),
        ({}, "neither a docker archive nor an OCI layout"),
        ({"oci-layout": b"{}"}, "neither a docker archive nor an OCI layout"),
    ],
    ids=["a root file system", "nothing", "half a layout"],
)
def test_other_archives_are_told_apart(in_tar, files, wanted):
    with pytest.raises(BadArchive, match=wanted) as caught:
        dockerarchive.refuse_unknown(in_tar(files))
    assert caught.value.hint


def test_skopeos_dir_layout_is_told_apart(in_directory):
    members = in_directory({"version": b"Directory Transport Version: 1.1\n", "manifest.json": RAW})
    with pytest.raises(BadArchive, match="the `dir:` layout of skopeo"):
        list(dockerarchive.images(members))


# --- writing ----------------------------------------------------------------------------


def written(*images):
    out = io.BytesIO()
    tape = StreamTape(out.write)
    archive = ArchiveWriter(tape)
    for image in images:
        config = ImageConfig.parse(image.config)
        archive.add(
            config.id,
            config,
            list(image.names),
            lambda path, number, image=image: tape.file(path, image.layers[number]),
        )
    archive.finish()
    return out.getvalue()


def test_what_is_written_is_read_again(in_tar):
    first, second = dockerarchive.images(in_tar(written(IMAGE, OTHER)))
    same(first, IMAGE)
    same(second, OTHER)
    assert [name.familiar for name in first.names] == list(IMAGE.names)


def test_what_is_written_depends_on_nothing_else():
    assert written(IMAGE, OTHER) == written(IMAGE, OTHER)
    with tarfile.open(fileobj=io.BytesIO(written(IMAGE, OTHER))) as archive:
        members = archive.getmembers()
    assert {each.mtime for each in members} == {0}
    assert {(each.uid, each.gid, each.uname) for each in members} == {(0, 0, "")}
    names = [each.name for each in members]
    assert len(names) == len(set(names))
    assert sum(name.endswith("layer.tar") for name in names) == 3
    assert names[-1] == "manifest.json"


def test_another_reader_finds_the_same_bytes():
    with tarfile.open(fileobj=io.BytesIO(written(IMAGE))) as archive:
        item = json.load(archive.extractfile("manifest.json"))[0]
        assert archive.extractfile(item["Config"]).read() == IMAGE.config
        assert [archive.extractfile(each).read() for each in item["Layers"]] == list(IMAGE.layers)


def test_the_samples_are_what_they_say():
    with tarfile.open(fileobj=io.BytesIO(as_tar(linked(IMAGE, OTHER)))) as archive:
        assert sum(each.issym() for each in archive) == 1


def test_one_document_named_very_often_is_read_only_so_often(in_tar):
    """Forty thousand mentions of one config of a megabyte fit into one manifest.json."""
    config = json.dumps({**json.loads(IMAGE.config), "author": "a" * (1 << 20)}).encode()
    item = {**ITEM, "Config": "c.json", "RepoTags": []}
    files = {**CLASSIC, "c.json": config, "manifest.json": json.dumps([item] * 80).encode()}
    with pytest.raises(BadDocument, match="documents have over"):
        list(dockerarchive.images(in_tar(files)))


def test_one_manifest_with_many_names_is_read_once(in_tar):
    """As many mentions of one manifest are honest in a layout: each gives the image a name."""
    files = blobs(IMAGE)
    large = {"annotations": {"a": "a" * (1 << 20)}}
    raw = json.dumps({**json.loads(RAW), **large}).encode()
    named = [
        descriptor(MANIFEST, raw, annotations={"org.opencontainers.image.ref.name": f"x:{number}"})
        for number in range(100)
    ]
    files |= {blob_path(raw): raw, "oci-layout": LAYOUT["oci-layout"], "index.json": index(*named)}
    (found,) = ocilayout.images(in_tar(files), HERE)
    assert len(found.names) == 100
