"""Lamina beside GNU tar, umoci, skopeo and podman: the same trees, the same digests."""

import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from contextlib import contextmanager

import pytest

from lamina.fs.erofs import mount_image
from lamina.testing.facts import facts

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")


def lamina(root, *words, check=True):
    done = subprocess.run(
        [sys.executable, "-m", "lamina", "--root", root, "--run-root", f"{root}.run", *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert not check or done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def odd_tree(tmp_path_factory):
    """A tree with everything a file system can hold, made by the kernel."""
    root = str(tmp_path_factory.mktemp("odd") / "root")
    os.makedirs(f"{root}/d/sub", 0o755)
    long = "n" * 120
    for name, data in (
        ("plain", b"x" * 5000),
        ("empty", b""),
        (f"d/{long}", b"long"),
        ("d/é\udcff", b"b"),
    ):
        with open(os.fsencode(f"{root}/") + os.fsencode(name), "wb") as file:
            file.write(data)
    os.link(f"{root}/plain", f"{root}/d/hard")
    os.symlink("../plain", f"{root}/d/soft")
    os.symlink("x" * 150, f"{root}/d/far")
    os.mkfifo(f"{root}/d/fifo", 0o640)
    os.mknod(f"{root}/d/null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    os.mknod(f"{root}/d/loop", 0o660 | stat.S_IFBLK, os.makedev(7, 300))
    os.chown(f"{root}/plain", 70000, 3000000)
    os.chmod(f"{root}/empty", 0o4755)
    os.chmod(f"{root}/d/sub", 0o3777)
    os.setxattr(f"{root}/plain", "user.note", b"a\0b\n=c")
    os.setxattr(
        f"{root}/plain",
        "security.capability",
        bytes.fromhex("0100000200040000000000000000000000000000"),
    )
    with open(f"{root}/sparse", "wb") as file:
        file.truncate(5 << 20)
        file.seek(3 << 20)
        file.write(b"data in the middle")
    os.utime(f"{root}/plain", ns=(0, 1234567890_123456789))
    os.utime(f"{root}/d/sub", ns=(0, -5_000_000_000))
    os.utime(f"{root}/d", ns=(0, 1_600_000_000_000_000_001))
    return root


FORMATS = {
    "gnu": ["--format=gnu"],
    "pax": ["--format=pax", "--xattrs", "--xattrs-include=*"],
    "gnu sparse": ["--format=gnu", "-S"],
    "pax sparse 0.0": ["--format=pax", "-S", "--sparse-version=0.0"],
    "pax sparse 0.1": ["--format=pax", "-S", "--sparse-version=0.1"],
    "pax sparse 1.0": ["--format=pax", "-S", "--sparse-version=1.0"],
}


@contextmanager
def tree_of(data):
    """The path of a layer's own tree: a directory, or its image, mounted."""
    if "Image" not in data:
        yield data.get("UpperDir") or data["SourceDir"]
        return
    devices = tuple(data[key] for key in ("Tar", "Contents") if key in data)
    mounted = mount_image(data["Image"], devices).descriptor
    try:
        yield f"/proc/self/fd/{mounted}/."
    finally:
        os.close(mounted)


@pytest.mark.parametrize("driver", ["overlay2", "erofs"])
@pytest.mark.parametrize("name", FORMATS)
def test_gnu_tar_unpacks_the_same_tree(odd_tree, tmp_path, name, driver):
    tar = f"{tmp_path}/t.tar"
    subprocess.run(
        ["tar", *FORMATS[name], "--numeric-owner", "-C", odd_tree, "-cf", tar, "."], check=True
    )
    os.mkdir(f"{tmp_path}/gnu")
    subprocess.run(
        [
            "tar",
            "--xattrs",
            "--xattrs-include=*",
            "--numeric-owner",
            "-C",
            f"{tmp_path}/gnu",
            "-xpf",
            tar,
        ],
        check=True,
    )
    root = f"{tmp_path}/root"
    image = lamina(root, "--driver", driver, "import", tar, "x:1").strip()
    data = json.loads(lamina(root, "inspect", image))[0]["GraphDriver"]["Data"]
    with tree_of(data) as mine:
        assert facts(mine) == facts(f"{tmp_path}/gnu")
    if "sparse" in name:
        disk = subprocess.run(["du", "-sk", f"{root}/{driver}"], capture_output=True, check=True)
        assert int(disk.stdout.split()[0]) << 10 < os.stat(f"{odd_tree}/sparse").st_size
    lamina(root, "save", "-o", f"{tmp_path}/s.tar", "x:1")
    members = subprocess.run(
        ["tar", "tf", f"{tmp_path}/s.tar"], capture_output=True, text=True, check=True
    )
    layer = next(each for each in members.stdout.split() if each.endswith("layer.tar"))
    with open(tar, "rb") as file:
        wanted = hashlib.sha256(file.read()).hexdigest()
    out = subprocess.run(
        ["tar", "xOf", f"{tmp_path}/s.tar", layer], capture_output=True, check=True
    )
    assert hashlib.sha256(out.stdout).hexdigest() == wanted == layer.split("/")[0]


def skopeo(*words):
    subprocess.run(["skopeo", "--insecure-policy", *words], check=True, capture_output=True)


@pytest.mark.parametrize("driver", ["overlay2", "vfs", "erofs"])
def test_skopeo_and_umoci_see_the_same_image(odd_tree, tmp_path, needs_program, driver):
    needs_program("skopeo")
    needs_program("umoci")
    root = f"{tmp_path}/root"
    tar = f"{tmp_path}/t.tar"
    subprocess.run(
        ["tar", *FORMATS["pax"], "--numeric-owner", "-C", odd_tree, "-cf", tar, "."], check=True
    )
    lamina(root, "--driver", driver, "import", "-c", "ENV A=b", "-c", "LABEL l=m", tar, "x:1")
    before = json.loads(lamina(root, "inspect", "x:1"))[0]
    lamina(root, "save", "-o", f"{tmp_path}/s.tar", "x:1")
    skopeo("copy", f"docker-archive:{tmp_path}/s.tar", f"oci:{tmp_path}/oci:1")
    subprocess.run(
        ["umoci", "unpack", "--image", f"{tmp_path}/oci:1", f"{tmp_path}/bundle"],
        check=True,
        capture_output=True,
    )
    with tree_of(before["GraphDriver"]["Data"]) as mine:
        assert facts(f"{tmp_path}/bundle/rootfs") == facts(mine)
    lamina(root, "rmi", "x:1")
    said = lamina(root, "load", "-i", f"{tmp_path}/oci")
    identity = said.split()[-1]
    after = json.loads(lamina(root, "inspect", identity))[0]
    assert after["RootFS"] == before["RootFS"]
    assert after["Config"] == before["Config"]
    skopeo("copy", f"oci:{tmp_path}/oci:1", f"docker-archive:{tmp_path}/again.tar:y:2")
    assert "Loaded image: y:2" in lamina(root, "load", "-i", f"{tmp_path}/again.tar")
    assert lamina(root, "check", "--full") == "clean\n"


@pytest.fixture
def podman(tmp_path, needs_program, monkeypatch):
    """podman on a store of its own, without limits that cannot be raised here."""
    program = needs_program("podman")
    conf = tmp_path / "containers.conf"
    conf.write_text(
        '[containers]\ndefault_ulimits=["nofile=1024:1024","nproc=1000:1000"]\nnetns="host"\n'
        '[engine]\nruntime="runc"\ncgroup_manager="cgroupfs"\nevents_logger="file"\n'
    )
    monkeypatch.setenv("CONTAINERS_CONF", str(conf))

    short = tempfile.mkdtemp(prefix="pm")  # podman takes no longer run root than 50 characters

    def run(*words):
        done = subprocess.run(
            [
                program,
                "--root",
                f"{short}/root",
                "--runroot",
                f"{short}/run",
                "--storage-driver",
                "vfs",
                *words,
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    yield run
    run("rmi", "-af")
    shutil.rmtree(short, ignore_errors=True)


def test_podman_loads_ours_and_we_load_podmans(odd_tree, tmp_path, podman):
    root = f"{tmp_path}/root"
    tar = f"{tmp_path}/t.tar"
    subprocess.run(
        ["tar", *FORMATS["pax"], "--numeric-owner", "-C", odd_tree, "-cf", tar, "./d", "./plain"],
        check=True,
    )
    identity = lamina(root, "import", "-c", 'CMD ["true"]', tar, "localhost/x:1").strip()
    lamina(root, "save", "-o", f"{tmp_path}/s.tar", "localhost/x:1")
    podman("load", "-i", f"{tmp_path}/s.tar")
    assert podman("images", "-q", "--no-trunc").strip() == identity
    podman("save", "-o", f"{tmp_path}/p.tar", "localhost/x:1")
    lamina(root, "rmi", "localhost/x:1")
    assert lamina(root, "load", "-i", f"{tmp_path}/p.tar") == "Loaded image: localhost/x:1\n"
    assert lamina(root, "images", "-q", "--no-trunc").strip() == identity


def test_docker_and_umoci_have_the_holed_files_of_a_squashed_image(docker, tmp_path):
    root, out = f"{tmp_path}/root", tmp_path / "tree"
    (out / "bin").mkdir(parents=True)
    shutil.copy(shutil.which("busybox"), out / "bin" / "busybox")
    with open(out / "sparse", "wb") as file:
        file.truncate(5 << 20)
        file.seek(3 << 20)
        file.write(b"data in the middle")
    wanted = hashlib.sha256((out / "sparse").read_bytes()).hexdigest()
    subprocess.run(["tar", "-S", "-C", out, "-cf", f"{tmp_path}/t.tar", "."], check=True)
    lamina(root, "import", f"{tmp_path}/t.tar", "x:1")
    lamina(root, "squash", "x:1", "-t", "y:1")
    lamina(root, "save", "-o", f"{tmp_path}/y.tar", "y:1")
    docker("load", "-i", f"{tmp_path}/y.tar")
    words = ("run", "--rm", "--network", "none", "y:1", "/bin/busybox", "sha256sum", "/sparse")
    assert docker(*words).split()[0] == wanted
    place = f"{tmp_path}/unpacked"
    skopeo("copy", f"docker-archive:{tmp_path}/y.tar", f"oci:{tmp_path}/layout:y")
    subprocess.run(
        ["umoci", "raw", "unpack", "--image", f"{tmp_path}/layout:y", place],
        check=True,
        capture_output=True,
    )
    with open(f"{place}/sparse", "rb") as file:
        assert hashlib.sha256(file.read()).hexdigest() == wanted
