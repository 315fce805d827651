"""`load`: every form from every source; all of an image or nothing of it."""

import bz2
import gc
import gzip
import io
import json
import lzma
import os
import threading

import pytest
from backports import zstd

from lamina.errors import (
    BadArchive,
    BadInput,
    DigestMismatch,
    LaminaError,
    StorageError,
    UnknownCompression,
)
from lamina.metadata import blobs as blob_rows
from lamina.testing.sample_images import (
    as_directory,
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
from lamina.testing.trees import tar_of
from lamina.transfer.load import load
from lamina.values.digest import BlobDigest, ImageID
from lamina.values.events import LayerProgress

HERE = ("linux", "amd64")
IMAGE = sample("d d\nf d/a one", "f d/b two\nw d/a", names=["demo/x:1", "x:2"])
OTHER = sample("d d\nf d/a one", "f d/c three", names=["y:latest"])
PACKS = {
    "plain": bytes,
    "gzip": gzip.compress,
    "zstd": zstd.compress,
    "xz": lzma.compress,
    "bzip2": bz2.compress,
}


def loaded(store, source, **options):
    return load(source, store.images, store.layers, **{"platform": HERE, **options})


def exported(store, image):
    top = store.images.row(image).row.top_chain
    tars = []
    for layer in store.layers.chain(top):
        out = io.BytesIO()
        store.layers.export(layer.chain_id, out.write)
        tars.append(out.getvalue())
    return tuple(tars)


def whole(store, made):
    """The image is here with its very bytes."""
    assert store.images.config(ImageID(made.id)).raw == made.config
    assert exported(store, ImageID(made.id)) == made.layers


@pytest.mark.parametrize("make", [classic, linked, hybrid, layout], ids=lambda each: each.__name__)
@pytest.mark.parametrize("way", ["path", "stream"])
def test_every_form_is_loaded(store, archive, make, way):
    path = archive(make(IMAGE, OTHER))
    with open(path, "rb") as stream:
        first, second = loaded(store, path if way == "path" else stream)
    assert (first.image, first.names, first.replaced) == (IMAGE.id, ("demo/x:1", "x:2"), ())
    assert (second.image, second.names) == (OTHER.id, ("y:latest",))
    whole(store, IMAGE)
    whole(store, OTHER)
    assert len(store.layers.all()) == 3
    assert store.images.resolve("x:2") == IMAGE.id


@pytest.mark.parametrize("pack", PACKS)
def test_the_archive_may_be_compressed(store, archive, pack):
    data = PACKS[pack](as_tar(classic(IMAGE)))
    loaded(store, archive(data))
    whole(store, IMAGE)
    store.images.remove(IMAGE.id, force=True)
    loaded(store, io.BytesIO(data))
    whole(store, IMAGE)
    assert os.listdir(os.path.join(store.path, "staging")) == []


@pytest.mark.parametrize("pack", PACKS)
@pytest.mark.parametrize("make", [classic, hybrid, layout], ids=lambda each: each.__name__)
def test_the_layers_may_be_compressed(store, archive, make, pack):
    loaded(store, archive(make(IMAGE, pack=PACKS[pack])))
    whole(store, IMAGE)


def test_a_layout_in_a_directory(store, tmp_path):
    (tmp_path / "layout").mkdir()
    loaded(store, as_directory(layout(IMAGE), str(tmp_path / "layout")))
    whole(store, IMAGE)


def test_a_pipe_by_its_name(store, tmp_path):
    path = str(tmp_path / "pipe")
    os.mkfifo(path)
    writer = threading.Thread(target=_write, args=(path, as_tar(classic(IMAGE))))
    writer.start()
    loaded(store, path)
    writer.join()
    whole(store, IMAGE)


def _write(path, data):
    with open(path, "wb") as file:
        file.write(data)


def test_a_staging_folder_without_nameless_files(store, archive, monkeypatch):
    """Some file systems have no O_TMPFILE."""
    real = os.open

    def picky(path, flags, *rest, **more):
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(95, os.strerror(95), path)
        return real(path, flags, *rest, **more)

    monkeypatch.setattr(os, "open", picky)
    loaded(store, io.BytesIO(as_tar(classic(IMAGE))))
    whole(store, IMAGE)
    assert os.listdir(os.path.join(store.path, "staging")) == []


def test_what_is_here_is_not_even_opened(store, archive):
    loaded(store, archive(classic(IMAGE)))
    events = []
    loaded(store, archive(classic(IMAGE, OTHER)), events=events.append)
    states = [each.state for each in events if isinstance(each, LayerProgress)]
    assert states == ["already exists"] * 3 + ["extracting", "complete"]
    torn = {**classic(IMAGE), f"{digest(IMAGE.layers[0])[7:]}/layer.tar": b"not looked at"}
    loaded(store, archive(torn))
    whole(store, IMAGE)


def test_a_name_moves_and_that_is_said(store, archive):
    """CVE-2026-50195: never silently, and the old image is kept."""
    old = store.make("f old old", names=["x:2"])
    (found,) = loaded(store, archive(classic(IMAGE)))
    assert found.replaced == ("x:2",)
    assert store.images.resolve("x:2") == IMAGE.id
    assert store.images.row(old).names == ()
    (found,) = loaded(store, archive(classic(IMAGE)))
    assert found.replaced == ()


def test_it_is_durable_when_load_is_done(store, archive):
    loaded(store, archive(layout(IMAGE)))
    with store.root.database.read() as db:
        for table in ("layers", "blobs"):
            rows = db.execute(f"SELECT count(*) FROM {table} WHERE boot_id IS NOT NULL").fetchone()
            assert rows == (0,), table
    store.reopen()
    whole(store, IMAGE)


# --- what came compressed is kept -------------------------------------------------------


@pytest.mark.parametrize("make", [layout, hybrid], ids=lambda each: each.__name__)
def test_manifest_and_blobs_are_kept_as_they_came(store, archive, make):
    loaded(store, archive(make(IMAGE, pack=packed)))
    row = store.images.row(ImageID(IMAGE.id)).row
    raw = oci_manifest(IMAGE)
    assert row.manifest == digest(raw)
    assert store.blobs.read(row.manifest, 10**6) == raw
    for tar in IMAGE.layers:
        assert store.blobs.read(BlobDigest(digest(packed(tar))), 10**6) == packed(tar)
    with store.root.database.read() as db:
        kept = {each.digest: each for each in blob_rows.all_rows(db)}
    assert kept.keys() == set(store.blobs.all())
    first = kept[BlobDigest(digest(packed(IMAGE.layers[0])))]
    assert first.diff_id == digest(IMAGE.layers[0])
    assert first.media_type.endswith("tar+gzip")
    store.images.remove(IMAGE.id, force=True)
    assert store.files() == []


def test_blobs_are_kept_also_for_layers_that_were_here(store, archive):
    loaded(store, archive(classic(IMAGE)))
    loaded(store, archive(layout(IMAGE)))
    assert store.blobs.has(BlobDigest(digest(packed(IMAGE.layers[0]))))
    assert store.images.row(ImageID(IMAGE.id)).row.manifest == digest(oci_manifest(IMAGE))


def test_plain_layers_are_not_kept_twice(store, archive):
    loaded(store, archive(layout(IMAGE, pack=bytes)))
    assert not store.blobs.has(BlobDigest(digest(IMAGE.layers[0])))
    assert store.images.row(ImageID(IMAGE.id)).row.manifest is not None


def test_a_shared_blob_goes_with_its_last_image(store, archive):
    loaded(store, archive(layout(IMAGE, OTHER)))
    shared = BlobDigest(digest(packed(IMAGE.layers[0])))
    store.images.remove(IMAGE.id, force=True)
    assert store.blobs.has(shared)
    whole(store, OTHER)
    store.images.remove("y")
    assert store.files() == []


# --- nothing is left of what fails ------------------------------------------------------


def damaged(files, name, change):
    return {**files, name: change(files[name])}


LAYER = f"{digest(IMAGE.layers[1])[7:]}/layer.tar"
CLASSIC, LAYOUT = classic(IMAGE), layout(IMAGE)
BLOB = "blobs/" + digest(packed(IMAGE.layers[1])).replace(":", "/")
SMUGGLED = sample("f d/ok ok", tar_of("f ../../outside x"))
WRONG = {
    "other bytes": (damaged(CLASSIC, LAYER, lambda old: old.replace(b"two", b"tWo")), "not sha256"),
    "a layer cut off": (damaged(CLASSIC, LAYER, lambda old: old[:700]), "cut off"),
    "a layer that is no tar": (damaged(CLASSIC, LAYER, lambda _: b"0" * 1024), "no tar"),
    "an empty layer": (damaged(CLASSIC, LAYER, lambda _: b""), "not sha256"),
    "gzip cut off": (damaged(CLASSIC, LAYER, lambda old: packed(old)[:-9]), "cut off"),
    "gzip damaged": (
        damaged(CLASSIC, LAYER, lambda old: packed(old)[:30] + b"\xff" * 50),
        "damaged",
    ),
    "unknown compression": (damaged(CLASSIC, LAYER, lambda _: b"PK\3\4" + bytes(600)), "zip"),
    "swapped layers": (
        {
            **CLASSIC,
            LAYER: CLASSIC[f"{digest(IMAGE.layers[0])[7:]}/layer.tar"],
        },
        "not sha256",
    ),
    "a layer that climbs": (classic(SMUGGLED), "climbs above the root"),
    "a blob of other bytes": (damaged(LAYOUT, BLOB, lambda old: packed(b"x" * len(old))), "promis"),
    "a blob cut off": (damaged(LAYOUT, BLOB, lambda old: old[:-1]), None),
    "the second image": (
        {**classic(OTHER, IMAGE), LAYER: b"0" * 1024},
        "no tar",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_nothing_of_a_bad_image_is_left(store, archive, name):
    files, wanted = WRONG[name]
    with pytest.raises(BadInput) as caught:
        loaded(store, archive(files))
    assert wanted is None or wanted in str(caught.value)
    assert "\n" not in str(caught.value)
    if name == "the second image":  # what came whole before it is there
        whole(store, OTHER)
        assert [row.row.id for row in store.images.all()] == [OTHER.id]
        assert len(store.layers.all()) == 2
        return
    assert store.images.all() == ()
    assert store.layers.all() == ()
    assert store.files() == []
    assert not os.path.exists(os.path.join(store.path, "..", "outside"))


def test_what_was_here_before_a_bad_load_stays(store, archive):
    kept = store.make("d d\nf d/a one")
    held = store.layers.register(None, io.BytesIO(tar_of("f held x")))
    with pytest.raises(BadInput):
        loaded(store, archive(WRONG["other bytes"][0]))
    assert [row.row.id for row in store.images.all()] == [kept]
    assert store.layers.get(held.chain_id) == held


def test_a_failure_while_naming_leaves_nothing(store, archive, monkeypatch):
    def fail(*_arguments):
        raise StorageError("the disk went away")

    monkeypatch.setattr("lamina.metadata.images.add", fail)
    with pytest.raises(StorageError, match="the disk went away"):
        loaded(store, archive(layout(IMAGE)))
    assert store.files() == []
    assert store.layers.all() == ()


SOURCES = {
    "nothing": (b"", BadArchive),
    "zeros": (bytes(10240), BadArchive),
    "text": (b"hello" * 300, BadArchive),
    "a zip": (b"PK\x03\x04" + bytes(600), UnknownCompression),
    "gzip of nothing": (gzip.compress(b""), BadArchive),
    "gzip cut off": (gzip.compress(as_tar(CLASSIC))[:-20], BadArchive),
    "a tar cut off": (as_tar(CLASSIC)[:2000], BadArchive),
    "a root file system": (tar_of("d bin\nf bin/sh x"), BadArchive),
    "no image in it": (as_tar({"manifest.json": b"[]"}), BadArchive),
    "no image in the layout": (
        as_tar({"oci-layout": b"{}", "index.json": index()}),
        BadArchive,
    ),
}


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("way", ["path", "stream"])
def test_what_is_no_archive_is_said(store, archive, name, way):
    data, kind = SOURCES[name]
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        with pytest.raises(kind) as caught:
            loaded(store, archive(data) if way == "path" else io.BytesIO(data))
    assert "\n" not in str(caught.value)
    assert store.files() == []
    assert len(os.listdir("/proc/self/fd")) <= before + 1  # the lease, once


def test_a_source_that_cannot_be_read_is_said(store, tmp_path):
    with pytest.raises(StorageError, match="No such file or directory"):
        loaded(store, str(tmp_path / "none"))

    class Failing:
        def read(self, _size):
            raise OSError(5, "Input/output error")

    with pytest.raises(StorageError, match="Input/output error"):
        loaded(store, Failing())


def test_a_thousand_bad_loads_keep_the_store_clean(store, archive):
    """CVE-2026-114236, in small: nothing accumulates, neither descriptors nor threads nor files."""
    path = archive(WRONG["gzip damaged"][0])
    with pytest.raises(LaminaError):
        loaded(store, path)
    gc.collect()  # what other tests left, which may go at any time
    before = (len(os.listdir("/proc/self/fd")), threading.active_count())
    for _ in range(100):
        with pytest.raises(LaminaError):
            loaded(store, path)
    assert (len(os.listdir("/proc/self/fd")), threading.active_count()) == before
    assert store.files() == []


def test_digests_of_another_algorithm_are_verified_and_kept(store, archive):
    import hashlib

    data = packed(IMAGE.layers[0])
    only = sample(IMAGE.layers[0], names=["x:1"])
    name = "sha512:" + hashlib.sha512(data).hexdigest()
    document = json.loads(oci_manifest(only))
    document["layers"][0]["digest"] = name
    raw = json.dumps(document).encode()
    files = {
        **layout(only),
        name.replace("sha512:", "blobs/sha512/"): data,
        digest(raw).replace("sha256:", "blobs/sha256/"): raw,
        "index.json": index(descriptor("application/vnd.oci.image.manifest.v1+json", raw)),
    }
    loaded(store, archive(files))
    whole(store, only)
    assert store.blobs.read(BlobDigest(name), 10**6) == data
    store.images.remove(only.id)
    files[name.replace("sha512:", "blobs/sha512/")] = packed(IMAGE.layers[1])
    with pytest.raises(DigestMismatch):
        loaded(store, archive(files))


SEVERAL = {"amd64": IMAGE, "arm64": sample("f arm only", architecture="arm64", names=["arm:1"])}


def of_two_platforms(style):
    """An image of two platforms under one name, as buildx or as skopeo puts it into a layout."""
    kind = "application/vnd.oci.image.manifest.v1+json"
    files = layout(*SEVERAL.values())
    described = [
        descriptor(kind, oci_manifest(each), platform={"os": "linux", "architecture": name})
        for name, each in SEVERAL.items()
    ]
    called = {"annotations": {"org.opencontainers.image.ref.name": "both:1"}}
    if style == "one index in another":
        inner = index(*described)
        files[f"blobs/sha256/{digest(inner)[7:]}"] = inner
        described = [descriptor("application/vnd.oci.image.index.v1+json", inner)]
    return {**files, "index.json": index(*({**each, **called} for each in described))}


@pytest.mark.parametrize("style", ["one index in another", "side by side"])
def test_the_platform_that_is_asked_for(store, archive, style):
    for name, wanted in SEVERAL.items():
        path = archive(of_two_platforms(style))
        (found,) = loaded(store, path, platform=("linux", name), only=True)
        assert (found.image, found.names) == (wanted.id, ("both:1",))
    with pytest.raises(BadInput, match="no image for linux/s390x; it has linux/amd64, linux/arm64"):
        loaded(store, archive(of_two_platforms(style)), platform=("linux", "s390x"), only=True)


def test_of_several_images_those_for_the_platform(store, archive):
    data = as_tar(classic(*SEVERAL.values()))
    (found,) = loaded(store, archive(data), platform=("linux", "arm64"), only=True)
    assert found.image == SEVERAL["arm64"].id
    assert len(loaded(store, archive(data), platform=("linux", "arm64"))) == 2
    with pytest.raises(BadArchive, match="no image for windows/amd64"):
        loaded(store, archive(data), platform=("windows", "amd64"), only=True)
