"""A store to be killed in, and what must hold after every kill."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager

import pytest

from lamina.fs.remove import remove_tree
from lamina.kernel import btrfs
from lamina.testing.filesystems import until_done
from lamina.testing.trees import tar_of

BASE = tar_of("d d\nf d/File1 one\nf d/File2 two\nd bin 755\nf d/File3 three")


class Victim:
    """Runs the command on a copy of a prepared store, so that each kill begins from the same."""

    def __init__(self, folder, driver):
        self.folder = folder
        self.driver = driver
        self.root = f"{folder}/root"
        self.env = {
            **os.environ,
            "LAMINA_RUN_ROOT": f"{folder}/run",
            "SOURCE_DATE_EPOCH": "1700000000",
        }

    def command(self, *words):
        return [
            os.path.realpath(sys.executable),
            "-m",
            "lamina",
            "--root",
            self.root,
            "--driver",
            self.driver,
            *words,
        ]

    def run(self, *words, crash="", prefix=()):
        env = {**self.env, "LAMINA_TEST_CRASH": crash, "PYTHONPATH": ":".join(sys.path)}
        return subprocess.run(
            [*prefix, *self.command(*words)],
            env=env,
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def ok(self, *words):
        done = self.run(*words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def save_state(self):
        """Keep what is there now, to be brought back as often as wished."""
        subprocess.run(["cp", "-a", self.root, f"{self.folder}/saved"], check=True)

    def restore_state(self):
        shutil.rmtree(self.root)
        subprocess.run(["cp", "-a", f"{self.folder}/saved", self.root], check=True)

    def end(self):
        """Leave nothing behind."""

    def images(self):
        rows = [json.loads(line) for line in self.ok("images", "--format", "json").splitlines()]
        return sorted(row["Repository"] for row in rows if row["Repository"] != "<none>")

    def assert_sound(self):
        """The next command works, everything visible is whole, and nothing else lies about."""
        assert self.ok("check", "--full") == "clean\n"
        for folder in ("staging", "trash"):
            assert os.listdir(f"{self.root}/{folder}") == []
        assert os.listdir(f"{self.root}/locks/leases") == []


class BtrfsVictim(Victim):
    """One whose store is a subvolume: snapshots keep it and bring it back, with those in it.

    No image is copied: its file system lives on while anybody's namespace has the mount.
    """

    def __init__(self, folder, driver):
        super().__init__(folder, driver)
        with opened(folder) as parent:
            btrfs.create_subvolume(parent, "root")

    def save_state(self):
        self._snapshot(self.root, f"{self.folder}/saved")

    def restore_state(self):
        remove_tree(self.root)
        self._snapshot(f"{self.folder}/saved", self.root)

    def _snapshot(self, source, target):
        with opened(source) as made, opened(os.path.dirname(target)) as parent:
            btrfs.snapshot(made, parent, os.path.basename(target))
            readonly = btrfs.is_readonly(made)
        layers = "btrfs/subvolumes"
        for name in os.listdir(f"{source}/{layers}") if os.path.isdir(f"{source}/{layers}") else ():
            os.rmdir(f"{target}/{layers}/{name}")  # what a snapshot has in a subvolume's place
            self._snapshot(f"{source}/{layers}/{name}", f"{target}/{layers}/{name}")
        with opened(target) as copy:
            btrfs.set_readonly(copy, readonly)

    def end(self):
        remove_tree(self.folder)


class ZfsVictim(Victim):
    """One whose store is a pool of its own: its image is what is kept and brought back."""

    def __init__(self, folder, driver):
        super().__init__(folder, driver)
        self.image = f"{folder}/image"
        self.pool = f"lamina-crash-{os.getpid()}"
        os.mkdir(self.root)
        subprocess.run(["truncate", "-s", "256M", self.image], check=True)
        create = ["zpool", "create", "-f", "-o", "cachefile=none", "-m", self.root]
        subprocess.run([*create, self.pool, self.image], check=True)

    def save_state(self):
        self._copy(self.image, f"{self.folder}/saved")

    def restore_state(self):
        self._copy(f"{self.folder}/saved", self.image)

    def _copy(self, source, target):
        until_done("zpool", "export", self.pool)
        subprocess.run(["cp", "--sparse=always", source, target], check=True)
        until_done("zpool", "import", "-d", self.folder, self.pool)

    def end(self):
        until_done("zpool", "destroy", "-f", self.pool)
        remove_tree(self.folder)


@contextmanager
def opened(path):
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def prepare(victim):
    folder = victim.folder
    with open(f"{folder}/base.tar", "wb") as file:
        file.write(BASE)
    os.mkdir(f"{folder}/context")
    with open(f"{folder}/context/Dockerfile", "w") as file:
        file.write("FROM base\nCOPY a /a\nWORKDIR /w\nENV A=b\nCOPY a b /c/\n")
    for name in "ab":
        with open(f"{folder}/context/{name}", "w") as file:
            file.write(name * 100)
    victim.ok("import", "base.tar", "base")
    victim.ok("create", "--name", "c1", "base", "true")
    where = json.loads(victim.ok("inspect", "c1"))[0]["GraphDriver"]["Data"]
    upper = where.get("UpperDir") or where.get("Mountpoint") or where["SourceDir"]
    with open(f"{upper}/new", "w") as file:
        file.write("changed")
    victim.ok("build", "-q", "-t", "built", "context")
    victim.ok("tag", "base", "other")
    victim.ok("rmi", "other")
    with open(f"{folder}/second.tar", "wb") as file:
        file.write(tar_of("f second 2\nf x y"))
    victim.ok("import", "second.tar", "second")
    victim.ok("save", "-o", f"{folder}/load.tar", "built")
    victim.ok("rmi", "built")
    return victim


OPERATIONS = {
    "import": (["import", "second.tar", "third"], "third"),
    "load": (["load", "-i", "load.tar"], "built"),
    "build": (["build", "-q", "-t", "built", "context"], "built"),
    "commit": (["commit", "c1", "committed"], "committed"),
    "rmi": (["rmi", "second"], None),
    "rm": (["rm", "c1"], None),
    "create": (["create", "--name", "c2", "base", "true"], None),
}


THOROUGH = ["overlay2", "vfs", "erofs"]
FURTHER = ["fuse-overlayfs", "btrfs", "zfs"]
MARKS = {"zfs": [pytest.mark.xdist_group("zfs")]}  # one daemon to a machine


@pytest.fixture(
    params=[pytest.param(name, marks=MARKS.get(name, ())) for name in (*THOROUGH, *FURTHER)]
)
def victim(request, site):
    driver = request.param
    folder = site(driver)  # skips where the driver does not work
    if driver == "zfs":
        folder = tempfile.mkdtemp(dir="/dev/shm")
    made = {"btrfs": BtrfsVictim, "zfs": ZfsVictim}.get(driver, Victim)(folder, driver)
    try:
        prepare(made)
        made.save_state()
        yield made
    finally:
        made.end()
