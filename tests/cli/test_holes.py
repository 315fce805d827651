"""Holes of files stay holes when layers are written anew: on every driver, with the same bytes."""

import io
import json
import os
import subprocess
import tarfile

import pytest

from tests.cli.rig import Lamina

SIZE = 16 << 20
DATA = b"data in the middle" * 500
BLOCKS = 1 << 20  # bytes that a file with holes may take up, with whatever a file system adds
DOCKERFILE = "FROM holed\nRUN rm /big && echo > /new\n"
CALLS = (("slim", "--from", "1"), ("squash",), ("squash", "--from", "2"))


@pytest.fixture
def holed(site, busybox_tar, tmp_path):
    """A function that gives a store with `app`: files with holes, and one that is hidden."""

    tar = holed_tar(tmp_path, busybox_tar)

    def make(driver: str) -> Lamina:
        made = Lamina(site(driver), driver)
        made.env["SOURCE_DATE_EPOCH"] = "1600000000"
        made.ok("import", tar, "holed")
        made.write("Dockerfile", DOCKERFILE)
        made.ok("build", "-q", "-t", "app", made.folder)
        return made

    return make


def holed_tar(folder, busybox):
    """busybox, and files with holes that GNU tar finds."""
    root, target = f"{folder}/holed.root", f"{folder}/holed.tar"
    os.mkdir(root)
    subprocess.run(["tar", "-C", root, "-xf", busybox], check=True)
    for name, data in (("sparse", DATA), ("moved", DATA), ("hole", b"")):
        with open(f"{root}/{name}", "wb") as file:
            file.truncate(SIZE)
            file.seek(SIZE // 3)
            file.write(data)
    with open(f"{root}/big", "wb") as file:
        file.write(b"b" * 50_000)
    os.link(f"{root}/sparse", f"{root}/zeta")
    words = ["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mtime=@0"]
    subprocess.run(["tar", "-S", *words, "-C", root, "-cf", target, "."], check=True)
    return target


def layers(lamina, image):
    return json.loads(lamina.ok("inspect", image))[0]["RootFS"]["Layers"]


def saved(lamina, image):
    """The tars of its layers."""
    path = f"{lamina.folder}/{image}.tar"
    lamina.ok("save", "-o", path, image)
    with tarfile.open(path) as archive:
        (manifest,) = json.load(archive.extractfile("manifest.json"))
        return [archive.extractfile(name).read() for name in manifest["Layers"]]


def disk(path):
    told = subprocess.run(["du", "-sk", path], capture_output=True, check=True)
    return int(told.stdout.split()[0])


def test_they_stay_in_the_layer_and_on_the_disk(holed, driver):
    lamina = holed(driver)
    before = disk(lamina.root)
    lamina.ok("slim", "--from", "1", "app", "-t", "made")
    assert (disk(lamina.root) - before) << 10 < SIZE
    if driver != "erofs":  # it gives a file with holes as many blocks as it would have without
        said = lamina.ok("run", "--rm", "made", "stat", "-c", "%s %b", "/sparse", "/moved", "/hole")
        sizes = [line.split() for line in said.splitlines()]
        assert [size for size, _ in sizes] == [str(SIZE)] * 3
        assert all(int(blocks) << 9 < BLOCKS for _, blocks in sizes)
    script = "cat /sparse /moved /zeta | sha256sum"
    run = ("run", "--rm", "--network", "none")
    assert lamina.ok(*run, "made", "sh", "-c", script) == lamina.ok(*run, "app", "sh", "-c", script)
    assert json.loads(lamina.ok("compare", "--json", "app", "made"))["Files"] == []
    assert lamina.ok("check", "--full") == "clean\n"


def test_the_layers_are_the_same_bytes_as_on_overlay2(holed, other_driver):
    both = [holed("overlay2"), holed(other_driver)]
    for call in CALLS:
        made = [each.ok(*call, "app").splitlines()[0] for each in both]
        assert made[0] == made[1]


@pytest.mark.usefixtures("needs_root", "needs_mounts")
def test_gnu_tar_and_python_find_the_files_as_they_were(holed, tmp_path):
    lamina = holed("overlay2")
    lamina.ok("squash", "app", "-t", "made")
    (tar,) = saved(lamina, "made")
    assert len(tar) < BLOCKS * 8
    (tmp_path / "gnu").mkdir()
    subprocess.run(["tar", "-C", tmp_path / "gnu", "-xf", "-"], input=tar, check=True)
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        assert {archive.getmember(name).size for name in ("sparse", "moved", "hole")} == {SIZE}
        archive.extract("moved", tmp_path, filter="fully_trusted")
    assert (tmp_path / "gnu" / "hole").stat().st_size == SIZE
    for path in (tmp_path / "gnu" / "sparse", tmp_path / "gnu" / "zeta", tmp_path / "moved"):
        assert path.stat().st_size == SIZE
        assert path.stat().st_blocks << 9 < BLOCKS
        with open(path, "rb") as file:
            file.seek(SIZE // 3)
            assert file.read(len(DATA) + 1) == DATA + b"\0"
