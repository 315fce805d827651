"""Other engines' stores as sources: what comes over is what they had, and nothing else does."""

import gzip
import json
import os

import pytest

from lamina.errors import (
    BadDocument,
    BadInput,
    DigestMismatch,
    ForeignStore,
    ImageNotFound,
    StorageError,
    StoreDamaged,
    UsageError,
)
from lamina.foreign.opening import open_foreign
from lamina.testing.foreign_stores import docker, podman, put
from lamina.testing.sample_images import sample
from lamina.transfer.takeover import plan, take_over

BASE = ("d etc\nf etc/a one\nf etc/b two\nl etc/s -> a",)
ONE = sample(*BASE, "d etc\nw etc/b\nf etc/new three", names=["demo/one:1", "demo/one:also"])
TWO = sample(*BASE, "f two 2", names=["two:latest"])
MAKERS = {"docker": docker, "containers-storage": podman}


@pytest.fixture(params=MAKERS)
def source(request, tmp_path):
    """The text that names a store of either engine, with both images."""
    MAKERS[request.param](tmp_path / "theirs", ONE, TWO)
    return f"{request.param}:{tmp_path}/theirs"


def planned(store, source, *names):
    foreign = open_foreign(source)
    try:
        return plan(foreign, names, store.images, store.layers)
    finally:
        foreign.close()


def taken(store, source, *names):
    foreign = open_foreign(source)
    try:
        found = plan(foreign, names, store.images, store.layers)
        return take_over(found, store.images, store.layers)
    finally:
        foreign.close()


def exported(store, image):
    tars = []
    for layer in store.layers.chain(store.images.row(image).row.top_chain):
        pieces = []
        store.layers.export(layer.chain_id, pieces.append)
        tars.append(b"".join(pieces))
    return tuple(tars)


def broken(store, source, path, data):
    """What taking everything over says when one file of theirs holds `data`."""
    put(path, data)
    with pytest.raises((BadInput, StorageError)) as raised:
        taken(store, source)
    assert not store.images.all()
    assert store.layers.all() == ()
    return raised.value


def test_images_come_over_with_names_layers_and_ids(store, source):
    loaded = taken(store, source)
    assert {each.image: set(each.names) for each in loaded} == {
        ONE.id: {"demo/one:1", "demo/one:also"},
        TWO.id: {"two:latest"},
    }
    assert exported(store, ONE.id) == ONE.layers
    assert exported(store, TWO.id) == TWO.layers
    assert len(store.layers.all()) == 3


def test_a_plan_says_what_is_to_be_taken_and_takes_nothing(store, source):
    found = planned(store, source)
    assert [each.reason for each in found] == ["2 of 2 layers to take"] * 2
    assert store.layers.all() == ()
    taken(store, source, "demo/one:1")
    found = {each.source.image.config.id: each for each in planned(store, source)}
    assert found[ONE.id].reason == "here already, only named"
    assert found[TWO.id].reason == "1 of 2 layers to take"


def test_images_are_asked_for_by_name_and_by_id(store, source):
    assert [each.image for each in taken(store, source, "two")] == [TWO.id]
    assert [each.image for each in taken(store, source, ONE.id[7:19])] == [ONE.id]
    with pytest.raises(ImageNotFound, match="no image nothing"):
        planned(store, source, "nothing")


def test_a_layer_that_is_here_is_not_read_again(store, source, tmp_path):
    taken(store, source, "two")
    for folder, _, names in os.walk(tmp_path / "theirs"):
        for name in names:
            if name in {"a", "b"}:
                os.unlink(os.path.join(folder, name))
    assert taken(store, source, "demo/one:1")[0].image == ONE.id


def test_a_file_that_changed_since_is_a_damaged_store(store, source, tmp_path):
    (changed,) = [p for p in (tmp_path / "theirs").rglob("new") if p.is_file()]
    error = broken(store, source, changed, "THREE")
    assert isinstance(error, DigestMismatch)


def test_a_file_that_is_gone_or_shorter_is_named(store, source, tmp_path):
    (file,) = [p for p in (tmp_path / "theirs").rglob("new") if p.is_file()]
    assert "'etc/new'" in str(broken(store, source, file, "x"))
    file.unlink()
    with pytest.raises(StoreDamaged, match="'etc/new' of the layer is gone"):
        taken(store, source)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"nothing", "tar-split data is damaged"),
        (gzip.compress(b"{}\n"), "tar-split data is damaged"),
        (gzip.compress(b'{"type":7}\n'), "a piece of type 7"),
        (gzip.compress(b'{"type":2,"payload":"' + b"A" * (5 << 20)), "line of over"),
        (gzip.compress(b'{"type":1,"name":"../../../etc/passwd","size":9}\n'), "climbs above"),
        (gzip.compress(b'{"type":1,"name":"etc","size":9}\n'), "Is a directory"),
    ],
    ids=["no-gzip", "no-type", "odd-type", "long-line", "climbing", "directory"],
)
def test_hostile_tar_split_data_is_refused(store, source, tmp_path, data, words):
    metadata = next((tmp_path / "theirs").rglob("*tar-split*"))
    for each in (tmp_path / "theirs").rglob("*tar-split*"):
        put(each, data)
    assert words in str(broken(store, source, metadata, data))


def test_a_link_in_their_layer_leads_nowhere_outside(store, source, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("two")
    for file in [p for p in (tmp_path / "theirs").rglob("b") if p.is_file()]:
        file.unlink()
        file.symlink_to(secret)
    with pytest.raises(StoreDamaged, match="gone"):
        taken(store, source)


def test_what_docker_only_keeps_as_a_step_is_not_an_image(store, tmp_path):
    root = docker(tmp_path / "theirs", sample(*BASE), ONE)
    step = sample(*BASE)
    put(root / f"image/overlay2/imagedb/metadata/sha256/{ONE.id[7:]}/parent", step.id)
    found = planned(store, f"docker:{root}")
    assert [each.source.image.config.id for each in found] == [ONE.id]


def test_a_config_that_is_not_what_it_is_called_is_refused(store, tmp_path):
    root = docker(tmp_path / "theirs", ONE)
    config = root / f"image/overlay2/imagedb/content/sha256/{ONE.id[7:]}"
    error = broken(store, f"docker:{root}", config, ONE.config.replace(b"amd64", b"arm64"))
    assert isinstance(error, DigestMismatch)


@pytest.mark.parametrize("cache_id", ["../../..", "l", "0" * 63])
def test_a_cache_id_that_is_none_is_refused(store, tmp_path, cache_id):
    root = docker(tmp_path / "theirs", ONE)
    record = next((root / "image/overlay2/layerdb/sha256").iterdir()) / "cache-id"
    for each in record.parent.parent.iterdir():
        put(each / "cache-id", cache_id)
    assert isinstance(broken(store, f"docker:{root}", record, cache_id), StoreDamaged)


@pytest.mark.parametrize("driver", ["overlay", "aufs", "vfs"])
def test_images_of_other_drivers_come_over_too(store, tmp_path, driver):
    """overlay (v1) and aufs are gone from the field; what they kept need not be."""
    files = {"overlay": "overlay/{}/root", "aufs": "aufs/diff/{}", "vfs": "vfs/dir/{}"}[driver]
    root = docker(tmp_path / "theirs", ONE, driver=driver, files=files)
    assert taken(store, f"docker:{root}")[0].image == ONE.id
    assert exported(store, ONE.id) == ONE.layers


def test_damaged_records_are_named(store, tmp_path):
    root = podman(tmp_path / "p", ONE)
    layers = root / "overlay-layers/layers.json"
    whole = json.loads(layers.read_text())
    error = broken(store, f"containers-storage:{root}", layers, '{"no": "list"}')
    assert isinstance(error, BadDocument)
    assert "layers.json is damaged" in str(error)
    error = broken(store, f"containers-storage:{root}", layers, json.dumps(whole[1:]))
    assert "the missing layer" in str(error)
    whole[0]["parent"] = whole[1]["id"]
    error = broken(store, f"containers-storage:{root}", layers, json.dumps(whole))
    assert "more than 1000 layers" in str(error)


def test_what_is_no_store_says_what_to_give(tmp_path):
    with pytest.raises(UsageError, match="docker:/var/lib/docker"):
        open_foreign("dockr:/x")
    with pytest.raises(ForeignStore, match="Docker Root Dir"):
        open_foreign(f"docker:{tmp_path}")
    with pytest.raises(ForeignStore, match="graphRoot"):
        open_foreign(f"containers-storage:{tmp_path}")
    with pytest.raises(StorageError, match="No such file"):
        open_foreign(f"docker:{tmp_path}/nothing")
