"""Images from the command line: import, list, name, save, load, remove."""

import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile

import pytest

from lamina.testing.trees import tar_of


@pytest.fixture(autouse=True)
def on_vfs(lamina):
    """These look at documents and names; vfs needs no right to mount."""
    lamina.driver = "vfs"


def write(lamina, name, data):
    path = os.path.join(lamina.folder, name)
    with open(path, "wb") as file:
        file.write(data)
    return path


def plain(lamina, name="root.tar"):
    return write(lamina, name, tar_of("d d\nf d/a text"))


def test_an_empty_store_lists_nothing(lamina):
    assert lamina.ok("images") == "REPOSITORY   TAG   IMAGE ID   CREATED   SIZE\n"
    assert lamina.ok("images", "-q") == ""
    assert lamina.ok("ps").startswith("CONTAINER ID   IMAGE")


@pytest.mark.parametrize("name", ["none", "gzip", "bzip2", "xz", "zstd"])
def test_import_of_every_compression(lamina, name):
    path = plain(lamina)
    if name != "none":
        path += "." + name
        with open(path, "wb") as out:
            subprocess.run([name, "-c", path[: -len(name) - 1]], stdout=out, check=True)
    identity = lamina.ok("import", path, "x:1").strip()
    assert identity.startswith("sha256:")
    layers = json.loads(lamina.ok("inspect", "x:1"))[0]["RootFS"]["Layers"]
    assert layers == ["sha256:" + hashlib.sha256(tar_of("d d\nf d/a text")).hexdigest()]


def test_import_from_standard_input(lamina):
    lamina.ok("import", "-", "x", stdin=gzip.compress(tar_of("f a 1")))
    assert "x" in lamina.ok("images", "--format", "{{.Repository}}")


def test_names_have_docker_defaults(lamina):
    identity = lamina.ok("import", plain(lamina), "nginx").strip()
    lamina.ok("tag", "nginx", "docker.io/library/nginx:v2")
    lamina.ok("tag", identity[7:19], "localhost:5000/a/b")
    rows = lamina.ok("images", "--format", "{{.Repository}}:{{.Tag}}").split()
    assert sorted(rows) == ["localhost:5000/a/b:latest", "nginx:latest", "nginx:v2"]
    said = lamina("rmi", identity[7:19])
    assert said.code == 1
    assert "3 names" in said.err
    assert lamina.ok("rmi", "nginx:v2") == "Untagged: nginx:v2\n"
    assert lamina.ok("rmi", "-f", identity).count("Deleted") == 2


def test_the_same_input_gives_the_same_image(lamina):
    env = {"SOURCE_DATE_EPOCH": "1700000000"}
    first = lamina("import", plain(lamina), "a", env=env)
    second = lamina("import", plain(lamina), "b", env=env)
    assert first.out == second.out
    created = lamina.ok("inspect", "-f", "{{.Created}}", "a")
    assert created == "2023-11-14T22:13:20Z\n"


def test_save_and_load_keep_everything(lamina):
    lamina.ok("import", "-c", 'CMD ["x"]', "-c", "ENV A=b", "-c", "LABEL l=m", plain(lamina), "x:1")
    lamina.ok("tag", "x:1", "y")
    before = json.loads(lamina.ok("inspect", "x:1"))[0]
    path = os.path.join(lamina.folder, "s.tar")
    lamina.ok("save", "-o", path, "x:1", "y")
    with open(path, "rb") as file:
        first = file.read()
    assert lamina("save", "x:1", "y").code == 0
    lamina.ok("rmi", "x:1", "y")
    assert lamina.ok("load", "-i", path) == "Loaded image: x:1\nLoaded image: y:latest\n"
    after = json.loads(lamina.ok("inspect", "x:1"))[0]
    assert after["Id"] == before["Id"]
    assert after["Config"] == {"Cmd": ["x"], "Env": ["A=b"], "Labels": {"l": "m"}}
    lamina.ok("save", "-o", path, "x:1", "y")
    with open(path, "rb") as file:
        assert file.read() == first


def test_a_layer_leaves_bit_for_bit(lamina):
    data = tar_of("f a 1\nf a 2\nd d\nl d/l -> ../a")
    lamina.ok("import", write(lamina, "odd.tar", data), "x")
    path = os.path.join(lamina.folder, "s.tar")
    lamina.ok("save", "-o", path, "x")
    with tarfile.open(path) as archive:
        layer = next(name for name in archive.getnames() if name.endswith("layer.tar"))
        assert archive.extractfile(layer).read() == data


BAD = {
    "garbage": b"this is no tar at all" * 100,
    "truncated": tar_of("f a " + "x" * 5000)[:2000],
    "empty gzip": b"\x1f\x8b",
    "cut gzip": gzip.compress(os.urandom(5000))[:3000],
    "zip": b"PK\x03\x04" + bytes(1000),
    "climbing": tar_of("f ../../x 1"),
    "nothing named": tar_of("f a/.wh. 1"),
    "link to nothing": tar_of("h a -> b"),
    "root is a file": tar_of("f ./ 1").replace(b"././", b"././"),
}


@pytest.mark.parametrize("name", [name for name in BAD if name != "root is a file"])
def test_bad_input_is_one_clear_line_and_leaves_nothing(lamina, name):
    lamina.ok("images")
    said = lamina("import", write(lamina, "bad", BAD[name]), "x")
    assert said.code == 1, said
    assert said.err.startswith("lamina: ")
    assert said.err.count("\n") == 1
    assert "Traceback" not in said.err
    assert lamina.ok("images", "-q") == ""
    assert lamina.ok("check", "--full") == "clean\n"
    for folder in ("vfs/dir", "index", "staging", "trash"):
        assert os.listdir(os.path.join(lamina.root, folder)) == []


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["tag", "nope", "x"], "no such image: nope"),
        (["rmi", "nope"], "no such image: nope"),
        (["load", "-i", "/does/not/exist"], "No such file or directory"),
        (["import", "/does/not/exist"], "No such file or directory"),
        (["frobnicate"], "'frobnicate' is not a lamina command"),
        (["imges"], "did you mean 'images'?"),
        (["images", "--format", "{{.Nope"], "template parsing error"),
        (["--driver", "nope", "images"], "no storage driver is called 'nope'"),
        (["--driver", "aufs", "images"], "removed from the field"),
        (["--driver", "devicemapper", "images"], "not written yet"),
        (["inspect", "nope"], "no such image or container"),
    ],
)
def test_wrong_requests_are_one_clear_line(lamina, words, wanted):
    if "--driver" in words:
        lamina.driver = None
    said = lamina(*words)
    assert said.code != 0
    assert wanted in said.err
    assert said.err.count("\n") == 1


def test_the_layers_of_the_wrong_digest_are_refused(lamina):
    lamina.ok("import", plain(lamina), "x")
    path = os.path.join(lamina.folder, "s.tar")
    lamina.ok("save", "-o", path, "x")
    lamina.ok("rmi", "x")
    with open(path, "rb") as file:
        data = file.read()
    with open(path, "wb") as file:
        file.write(data.replace(b"text", b"tExt"))
    said = lamina("load", "-i", path)
    assert said.code == 1
    assert "not sha256:" in said.err
    assert lamina.ok("images", "-q") == ""
    assert lamina.ok("check") == "clean\n"


def test_an_archive_whose_manifest_climbs_reads_nothing_outside(lamina):
    secret = write(lamina, "secret", b'{"rootfs":{"type":"layers","diff_ids":[]}}')
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        document = json.dumps([{"Config": f"../../../{secret}", "RepoTags": ["x:1"], "Layers": []}])
        info = tarfile.TarInfo("manifest.json")
        info.size = len(document)
        archive.addfile(info, io.BytesIO(document.encode()))
    said = lamina("load", stdin=out.getvalue())
    assert said.code == 1
    assert lamina.ok("images", "-q") == ""


def test_prune_asks_first(lamina):
    lamina.ok("import", plain(lamina), "x")
    lamina.ok("import", write(lamina, "other.tar", tar_of("f b 1")), "x")
    assert lamina("image", "prune", stdin=b"n\n").out == ""
    assert "Total reclaimed space" in lamina.ok("image", "prune", "-f")
    assert len(lamina.ok("images", "-q").split()) == 1


def test_where_the_bytes_are_adds_up(lamina):
    lamina.ok("import", write(lamina, "a.tar", tar_of("f a " + "x" * 1000)), "x")
    document = json.loads(lamina.ok("df", "--format", "json"))
    assert document["Images"]["Size"] == 1000
    assert document["Images"]["Reclaimable"] == 1000
    tree = json.loads(lamina.ok("tree", "--format", "json"))
    assert (tree["LayersAsked"], tree["LayersStored"], tree["BytesStored"]) == (1, 1, 1000)


@pytest.mark.usefixtures("needs_root", "needs_mounts")
def test_a_read_only_store_is_one_clear_line(lamina):
    lamina.ok("import", plain(lamina), "x")
    script = f"mount --bind {lamina.root} {lamina.root} && mount -o remount,bind,ro {lamina.root} && exec {sys.executable} -m lamina --root {lamina.root} images"
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env=lamina.env,
    )
    assert done.returncode == 1
    assert "Read-only file system" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.usefixtures("needs_root", "needs_mounts")
def test_a_full_disk_is_one_clear_line_and_leaves_nothing(lamina):
    disk = os.path.join(lamina.folder, "disk")
    with open(disk, "wb") as file:
        file.truncate(24 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", disk], check=True)
    lamina.root = os.path.join(lamina.folder, "mounted", "root")
    os.mkdir(os.path.dirname(lamina.root))
    subprocess.run(["mount", "-o", "loop", disk, os.path.dirname(lamina.root)], check=True)
    try:
        lamina.ok("import", plain(lamina), "small")
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as archive:
            info = tarfile.TarInfo("a")
            info.size = 30 << 20
            archive.addfile(info, io.BytesIO(bytes(info.size)))
        said = lamina("import", write(lamina, "big.tar", out.getvalue()), "big")
        assert said.code == 1
        assert "No space left on device" in said.err
        assert said.err.count("\n") == 1
        assert lamina.ok("images", "--format", "{{.Repository}}") == "small\n"
        assert lamina.ok("check", "--full") == "clean\n"
        lamina.ok("rmi", "small")
    finally:
        subprocess.run(["umount", os.path.dirname(lamina.root)], check=True)
