"""`save`, `import` and `export` as values and bytes."""

import gzip
import io
import json
import os
import tarfile

import pytest

from lamina.errors import BadArchive, DockerfileError, ImageNotFound, StorageError, UsageError
from lamina.testing.stores import ScratchStore
from lamina.testing.trees import tar_of
from lamina.transfer.importing import import_root
from lamina.transfer.load import load
from lamina.transfer.save import export_tree, save
from lamina.values.reference import Reference

HERE = ("linux", "arm64")
ONE, TWO = "d d\nf d/a one", "f d/b two\nw d/a"
ROOT = tar_of("d bin\nf bin/sh #! 755\nl sh -> bin/sh")


def saved(store, *names):
    out = io.BytesIO()
    save(list(names), store.images, store.layers, out.write)
    return out.getvalue()


def items(data):
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return json.load(archive.extractfile("manifest.json"))


@pytest.mark.parametrize(
    ("text", "names"),
    [("x:1", [["x:1"]]), ("x", [["x:1", "x:2"]]), ("y", [["y:latest"]]), ("id", [[]])],
)
def test_a_name_given_is_a_name_kept(store, text, names):
    image = store.make(ONE, TWO, names=["x:1", "x:2"])
    store.make(ONE, names=["y"])
    data = saved(store, image.short if text == "id" else text)
    assert [item["RepoTags"] for item in items(data)] == names


def test_several_images_share_what_they_share(store):
    store.make(ONE, TWO, names=["x"])
    store.make(ONE, names=["y"])
    data = saved(store, "x", "y", "x:latest")
    assert [item["RepoTags"] for item in items(data)] == [["x:latest"], ["y:latest"]]
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert sum(each.name.endswith("layer.tar") for each in archive) == 2


def test_saving_twice_gives_the_same_bytes(store):
    store.make(ONE, TWO, names=["x"])
    first = saved(store, "x")
    store.layers.barrier()
    store.reopen()
    assert saved(store, "x") == first


def oci(store, *names):
    out = io.BytesIO()
    save(list(names), store.images, store.layers, out.write, "oci")
    return out.getvalue()


def test_a_layout_of_several_images(store, tmp_path):
    """Each under the manifest that a push would give it, with all its names, each blob once."""
    both = store.make(ONE, TWO, names=["x:1", "x:2"])
    one = store.make(ONE, names=["y"])
    data = oci(store, "x", "y", "x:1")
    assert oci(store, "x", "y") == data
    manifests = {image: store.images.row(image).row.manifest for image in (both, one)}
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        names = archive.getnames()
        described = json.load(archive.extractfile("index.json"))["manifests"]
    assert (
        len(names) == len(set(names)) == 2 + 2 + 2 + 2
    )  # marker, index; configs; manifests; layers
    key = "org.opencontainers.image.ref.name"
    assert {each["annotations"][key]: each["digest"] for each in described} == {
        "docker.io/library/x:1": manifests[both],
        "docker.io/library/x:2": manifests[both],
        "docker.io/library/y:latest": manifests[one],
    }
    other = ScratchStore(str(tmp_path / "other"))
    try:
        found = load(io.BytesIO(data), other.images, other.layers, platform=HERE)
        assert {each.image: each.names for each in found} == {
            both: ("x:1", "x:2"),
            one: ("y:latest",),
        }
        assert {
            each.image: other.images.row(each.image).row.manifest for each in found
        } == manifests
    finally:
        other.close()


def test_a_layout_of_an_image_without_a_name(store):
    image = store.make(ONE, names=["x"])
    with tarfile.open(fileobj=io.BytesIO(oci(store, image.short))) as archive:
        (described,) = json.load(archive.extractfile("index.json"))["manifests"]
    assert "annotations" not in described


def test_what_is_saved_stays_until_it_is(store, tmp_path):
    """Somebody else removes the image at the first byte."""
    store.make(ONE, TWO, names=["x"])
    whole = saved(store, "x")
    store.reopen()
    out = io.BytesIO()

    def meddling(data):
        if not out.getvalue():
            other = ScratchStore(str(tmp_path / "root"))
            other.images.remove("x")
            other.close()
        out.write(data)

    save(["x"], store.images, store.layers, meddling)
    assert out.getvalue() == whole


def test_nothing_is_written_for_an_unknown_image(store):
    store.make(ONE, names=["x"])
    out = io.BytesIO()
    with pytest.raises(ImageNotFound):
        save(["x", "unknown"], store.images, store.layers, out.write)
    assert out.getvalue() == b""


def test_saved_and_loaded_is_the_same_image(store):
    image = store.make(ONE, TWO, names=["x:1"], author="a", unknown={"kept": [1.5, None]})
    raw = store.images.config(image).raw
    layers = store.layers.chain(store.images.row(image).row.top_chain)
    data = saved(store, "x:1")
    store.images.remove("x:1")
    assert store.files() == []
    (found,) = load(io.BytesIO(data), store.images, store.layers, platform=HERE)
    assert found.image == image
    assert store.images.config(image).raw == raw
    again = store.layers.chain(store.images.row(image).row.top_chain)
    assert [each.diff_id for each in again] == [each.diff_id for each in layers]


def imported(store, source, **options):
    options = {"names": (), "platform": HERE, "created": 1_700_000_000.0, **options}
    return import_root(source, store.images, store.layers, **options)


@pytest.mark.parametrize("way", ["path", "stream", "gzip"])
def test_import_makes_the_image_that_docker_makes(store, archive, way):
    source = {
        "path": archive(ROOT),
        "stream": io.BytesIO(ROOT),
        "gzip": io.BytesIO(gzip.compress(ROOT)),
    }[way]
    image = imported(store, source, names=(Reference.parse("root"),), changes=('CMD ["sh"]',))
    assert store.images.resolve("root") == image
    document = json.loads(store.images.config(image).raw)
    (layer,) = store.layers.all()
    assert document == {
        "architecture": "arm64",
        "os": "linux",
        "config": {"Cmd": ["sh"]},
        "created": "2023-11-14T22:13:20Z",
        "history": [{"created": "2023-11-14T22:13:20Z", "comment": "Imported from -"}],
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id]},
    }
    out = io.BytesIO()
    store.layers.export(layer.chain_id, out.write)
    assert out.getvalue() == ROOT


def test_the_same_tar_at_the_same_time_is_the_same_image(store, archive):
    assert imported(store, archive(ROOT)) == imported(store, archive(ROOT + bytes(0)))
    assert imported(store, archive(ROOT), message="m") != imported(store, archive(ROOT))


WRONG = {
    "cut off": (ROOT[:600], {}, BadArchive),
    "no tar": (b"x" * 2000, {}, BadArchive),
    "climbing": (tar_of("f ../x y"), {}, BadArchive),
    "a bad change": (ROOT, {"changes": ("RUN x",)}, UsageError),
    "a change that is none": (ROOT, {"changes": ("CMD a\nCMD b",)}, DockerfileError),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_bad_import_leaves_nothing(store, archive, name):
    data, options, kind = WRONG[name]
    with pytest.raises(kind):
        imported(store, archive(data), **options)
    assert store.files() == []
    assert store.layers.all() == ()


def test_a_failure_after_the_layer_leaves_nothing(store, archive, monkeypatch):
    def fail(*_arguments):
        raise StorageError("the disk went away")

    monkeypatch.setattr("lamina.metadata.images.add", fail)
    with pytest.raises(StorageError, match="the disk went away"):
        imported(store, archive(ROOT))
    assert store.files() == []


@pytest.mark.parametrize("what", ["missing", "directory"])
def test_a_source_that_cannot_be_read_is_said(store, tmp_path, what):
    path = str(tmp_path / "none") if what == "missing" else str(tmp_path)
    with pytest.raises((StorageError, BadArchive), match=r"No such file|is a directory"):
        imported(store, path)
    assert store.files() == []


def test_a_whole_tree_leaves_as_one_tar(store):
    image = store.make(ONE, TWO)
    out = io.BytesIO()
    with_tree = store.layers.view(store.images.row(image).row.top_chain)
    try:
        export_tree(with_tree, out.write)
    finally:
        with_tree.close()
    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as archive:
        assert [os.path.normpath(each.name) for each in archive if each.name] == ["d", "d/b"]
