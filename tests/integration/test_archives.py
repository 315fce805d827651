"""Archives to and from the field's tools: equal image IDs and diff IDs, whoever wrote them."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile

import pytest

from lamina.testing.sample_images import (
    as_directory,
    as_tar,
    classic,
    digest,
    layout,
    linked,
    sample,
)
from lamina.testing.stores import ScratchStore
from lamina.transfer.load import load
from lamina.transfer.save import save
from lamina.values.digest import ImageID

pytestmark = pytest.mark.usefixtures("needs_root")

HERE = ("linux", "amd64")
LAYERS = ("d d 755\nf d/a one 640 1:2\nl d/l -> a", "f d/b two\nw d/a\nh d/c -> d/b")
ONE = sample(*LAYERS, names=["localhost/one:1"])
TWO = sample(LAYERS[0], "f d/c three", names=["localhost/two:2"])


class Lamina:
    """A store, and archives in and out of it."""

    def __init__(self, folder):
        self.folder = folder
        self.store = ScratchStore(os.path.join(folder, "root"))

    def load(self, path):
        return load(path, self.store.images, self.store.layers, platform=HERE)

    def save(self, *names):
        path = os.path.join(self.folder, "lamina.tar")
        with open(path, "wb") as file:
            save(list(names), self.store.images, self.store.layers, file.write)
        return path

    def clear(self):
        for each in self.store.images.all():
            self.store.images.remove(each.row.id, force=True)
        assert self.store.files() == []

    def diff_ids(self, image):
        return list(self.store.images.config(image).diff_ids)


@pytest.fixture
def lamina(tmp_path):
    made = Lamina(str(tmp_path))
    yield made
    made.store.close()


@pytest.fixture
def both(lamina, tmp_path):
    """A store that has both images, which another tool's form once brought."""
    path = tmp_path / "samples.tar"
    path.write_bytes(as_tar(linked(ONE, TWO)))
    assert [each.image for each in lamina.load(str(path))] == [ONE.id, TWO.id]
    return lamina


def ran(*words, **more):
    done = subprocess.run(words, capture_output=True, check=False, **more)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


# --- skopeo -----------------------------------------------------------------------------


@pytest.fixture
def skopeo(needs_program):
    needs_program("skopeo")
    return lambda *words: ran("skopeo", "--insecure-policy", *words)


def test_skopeo_reads_the_very_config_we_saved(both, skopeo):
    path = both.save("localhost/one", "localhost/two")
    for made in (ONE, TWO):
        source = f"docker-archive:{path}:{made.names[0]}"
        assert skopeo("inspect", "--config", "--raw", source).encode() == made.config
        assert json.loads(skopeo("inspect", source))["Layers"] == made.diff_ids


@pytest.mark.parametrize("form", ["docker-archive", "docker-archive of a stream"])
def test_through_skopeo_and_back_it_is_the_same_image(both, skopeo, tmp_path, form):
    path = both.save("localhost/one")
    there = f"{tmp_path}/there.tar"
    skopeo("copy", f"docker-archive:{path}", f"docker-archive:{there}:localhost/back:1")
    both.clear()
    if "stream" in form:
        with open(there, "rb") as stream:
            (found,) = load(stream, both.store.images, both.store.layers, platform=HERE)
    else:
        (found,) = both.load(there)
    assert (found.image, found.names) == (ONE.id, ("localhost/back:1",))
    assert both.diff_ids(found.image) == ONE.diff_ids


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
@pytest.mark.parametrize("form", ["oci", "oci-archive"])
def test_oci_layouts_of_skopeo(both, skopeo, tmp_path, form, compression):
    path = both.save("localhost/one")
    there = f"{tmp_path}/there"
    skopeo(
        *("copy", "--dest-compress-format", compression, *(["--dest-compress"] * (form == "oci"))),
        *(f"docker-archive:{path}", f"{form}:{there}:localhost/back:1"),
    )
    both.clear()
    (found,) = both.load(there)
    assert found.names == ("localhost/back:1",)
    assert both.diff_ids(found.image) == ONE.diff_ids
    wanted = json.loads(skopeo("inspect", f"{form}:{there}:localhost/back:1"))
    row = both.store.images.row(found.image).row
    assert row.manifest == wanted["Digest"]
    kept = {str(each) for each in both.store.blobs.all()}
    assert kept == {*wanted["Layers"], str(row.manifest), str(found.image)}


def test_two_images_of_one_layout(both, skopeo, tmp_path):
    path = both.save("localhost/one", "localhost/two")
    for made in (ONE, TWO):
        name = made.names[0]
        skopeo("copy", f"docker-archive:{path}:{name}", f"oci:{tmp_path}/there:{name}")
    both.clear()
    found = both.load(f"{tmp_path}/there")
    assert [each.names for each in found] == [(ONE.names[0],), (TWO.names[0],)]
    assert [both.diff_ids(each.image) for each in found] == [ONE.diff_ids, TWO.diff_ids]
    assert len(both.store.layers.all()) == 3


def test_dir_layouts_are_named_in_the_refusal(both, skopeo, tmp_path):
    from lamina.errors import BadArchive

    skopeo("copy", f"docker-archive:{both.save('localhost/one')}", f"dir:{tmp_path}/there")
    with pytest.raises(BadArchive, match="lamina copy dir:HERE lamina:NAME"):
        both.load(f"{tmp_path}/there")


# --- umoci ------------------------------------------------------------------------------


def test_what_umoci_repacks_is_loaded(both, skopeo, needs_program, tmp_path):
    """umoci's configs tell little history; its layers are its own."""
    needs_program("umoci")
    skopeo("copy", f"docker-archive:{both.save('localhost/one')}", f"oci:{tmp_path}/oci:a")
    ran("umoci", "unpack", "--image", f"{tmp_path}/oci:a", f"{tmp_path}/bundle")
    with open(f"{tmp_path}/bundle/rootfs/d/new", "w") as file:
        file.write("umoci")
    ran("umoci", "repack", "--no-history", "--image", f"{tmp_path}/oci:b", f"{tmp_path}/bundle")
    ran("umoci", "rm", "--image", f"{tmp_path}/oci:a")
    both.clear()
    (found,) = both.load(f"{tmp_path}/oci")
    config = both.store.images.config(found.image)
    assert list(config.diff_ids[:2]) == ONE.diff_ids
    assert len(config.diff_ids) == 3
    view = both.store.layers.view(config.top_chain)
    try:
        descriptor = view.open(b"d/new")
        assert os.read(descriptor, 100) == b"umoci"
        os.close(descriptor)
        assert view.lstat(b"d/a") is None
    finally:
        view.close()


# --- podman and buildah -----------------------------------------------------------------


@pytest.fixture
def podman(tmp_path, needs_program, monkeypatch):
    """podman on a store of its own, without limits that cannot be raised everywhere."""
    program = needs_program("podman")
    conf = tmp_path / "containers.conf"
    conf.write_text(
        '[containers]\ndefault_ulimits=["nofile=1024:1024","nproc=1000:1000"]\nnetns="host"\n'
        '[engine]\nruntime="runc"\ncgroup_manager="cgroupfs"\nevents_logger="file"\n'
    )
    monkeypatch.setenv("CONTAINERS_CONF", str(conf))
    short = tempfile.mkdtemp(prefix="pm")  # podman takes no longer run root than 50 characters
    at = ("--root", f"{short}/root", "--runroot", f"{short}/run", "--storage-driver", "vfs")
    yield lambda *words: ran(program, *at, *words)
    shutil.rmtree(short, ignore_errors=True)


def test_podman_has_the_same_images_and_gives_them_back(both, podman, tmp_path):
    podman("load", "-i", both.save("localhost/one", "localhost/two"))
    listed = podman("images", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}").split(
        "\n"
    )
    assert sorted(filter(None, listed)) == [f"{made.names[0]} {made.id}" for made in (ONE, TWO)]
    for made in (ONE, TWO):
        found = json.loads(podman("inspect", made.names[0]))[0]
        assert found["RootFS"]["Layers"] == made.diff_ids
    both.clear()
    podman("save", "-q", "-m", "-o", f"{tmp_path}/p.tar", ONE.names[0], TWO.names[0])
    assert {each.image for each in both.load(f"{tmp_path}/p.tar")} == {ONE.id, TWO.id}


@pytest.mark.parametrize("form", ["oci-archive", "oci-dir"])
def test_podmans_oci_forms(both, podman, tmp_path, form):
    podman("load", "-q", "-i", both.save("localhost/one"))
    both.clear()
    podman("save", "-q", "--format", form, "-o", f"{tmp_path}/p", ONE.names[0])
    (found,) = both.load(f"{tmp_path}/p")
    assert found.names == ONE.names
    assert both.diff_ids(found.image) == ONE.diff_ids


# --- docker -----------------------------------------------------------------------------


def test_docker_has_the_same_images_and_gives_them_back(both, docker, tmp_path):
    path = both.save("localhost/one", "localhost/two")
    assert docker("load", "-i", path).split("\n")[:2] == [
        f"Loaded image: {made.names[0]}" for made in (ONE, TWO)
    ]
    for made in (ONE, TWO):
        found = json.loads(docker("inspect", made.names[0]))[0]
        assert (found["Id"], found["RootFS"]["Layers"]) == (made.id, made.diff_ids)
    history = docker("history", "--format", "{{.CreatedBy}}", ONE.names[0]).split()
    assert history == ["step", "1", "step", "0"]
    both.clear()
    docker("save", "-o", f"{tmp_path}/d.tar", ONE.names[0], TWO.names[0])
    assert {each.image for each in both.load(f"{tmp_path}/d.tar")} == {ONE.id, TWO.id}


# --- the command itself -----------------------------------------------------------------


def test_a_pipe_from_one_store_to_another(tmp_path):
    """`lamina save x | lamina load`, with a compressor between."""
    command = [sys.executable, "-m", "lamina", "--driver", "vfs", "--run-root", f"{tmp_path}/run"]
    (tmp_path / "in.tar").write_bytes(as_tar(classic(ONE)))
    ran(*command, "--root", f"{tmp_path}/a", "load", "-q", "-i", f"{tmp_path}/in.tar")
    saved = subprocess.Popen(
        [*command, "--root", f"{tmp_path}/a", "save", "localhost/one"], stdout=subprocess.PIPE
    )
    packed = subprocess.Popen(["gzip", "-1"], stdin=saved.stdout, stdout=subprocess.PIPE)
    said = ran(*command, "--root", f"{tmp_path}/b", "load", stdin=packed.stdout)
    for each in (saved, packed):
        each.stdout.close()
        assert each.wait() == 0
    assert said == "Loaded image: localhost/one:1\n"
    listed = ran(*command, "--root", f"{tmp_path}/b", "images", "-q", "--no-trunc")
    assert ImageID(listed.strip()) == ONE.id == digest(ONE.config)


POINTS = ["layer-published", "blob-announced:1", "blob-announced:3", "image-blobs", "image-created"]


@pytest.mark.parametrize("point", POINTS)
def test_a_load_that_is_killed_leaves_nothing_half(tmp_path, point):
    """Also of the blobs that an OCI layout brings; the next load then goes through."""
    folder = as_directory(layout(ONE), str(tmp_path / "layout"))
    root = f"{tmp_path}/root"
    command = [sys.executable, "-m", "lamina", "--driver", "vfs", "--root", root]
    command += ["--run-root", f"{tmp_path}/run"]
    killed = subprocess.run(
        [*command, "load", "-i", folder],
        env={**os.environ, "LAMINA_TEST_CRASH": point},
        capture_output=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    listed = ran(*command, "images", "-q", "--no-trunc").split()
    assert listed == ([ONE.id] if point == "image-created" else [])
    assert ran(*command, "check", "--full") == "clean\n"
    if not listed:
        blobs = f"{root}/blobs/sha256"
        assert not os.path.isdir(blobs) or os.listdir(blobs) == []
        assert os.listdir(f"{root}/staging") == []
    assert ran(*command, "load", "-i", folder) == "Loaded image: localhost/one:1\n"
    assert ran(*command, "check", "--full") == "clean\n"
    assert len(os.listdir(f"{root}/blobs/sha256")) == 4  # config, manifest, two layers
