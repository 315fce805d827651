"""A store to be killed in, and what must hold after every kill (holds no test)."""

import glob
import hashlib
import os
import re
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import lamina
from lamina.drivers.devicemapper import DevicemapperDriver
from lamina.fs.locks import FileLock
from lamina.fs.remove import remove_tree
from lamina.kernel import btrfs, devmapper, loop
from lamina.metadata import blobs, layers, refs
from lamina.testing.filesystems import until_done
from lamina.testing.trees import tar_of
from tests.conftest import SMALL

BASE = tar_of("d d\nf d/File1 one\nf d/File2 two\nd bin 755\nf d/File3 three")
SECOND = tar_of("f second 2\nf x y")
_IDENTITY = re.compile(  # layers, containers and blobs; overlay2's short names; a store's run root
    r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])|(?<![A-Z2-7])[A-Z2-7]{26}(?![A-Z2-7])"
    r"|(?<=^run/)[0-9a-f-]{13}"
)
_CONTENT = re.compile(
    r"^((overlay2|fuse-overlayfs)/[^/]+/diff|(vfs/dir|btrfs/subvolumes|blobs)/[^/]+)/"
    r"|^erofs/[^/]+/layer\.tar$"
)
# What a dataset of zfs holds is seen only while it is mounted; `check --full` reads it.
_UNTOLD = re.compile(
    r"^(lamina\.db(-wal|-shm)?|store|\.lock|locks/(?!leases/).*|zfs/graph/[^/]+/.*)$"
)
_PATIENCE = 20.0  # seconds for the kernel to end what a killed command had started


class Operation(NamedTuple):
    """A command line; `box` when it needs a root with programs, `steps` when it shows what lies
    between its beginning and its end, `fresh` when it begins without a store. What begins with
    `theirs` is the user's own, half done or not.
    """

    words: tuple[str, ...]
    box: bool = False
    steps: bool = False
    fresh: bool = False
    repeatable: bool = True
    theirs: str = "\0"


OPERATIONS = {
    "import": Operation(("import", "third.tar", "third")),
    "import-known": Operation(("import", "second.tar", "third")),
    "import-first": Operation(("import", "second.tar", "third"), fresh=True),
    "load": Operation(("load", "-i", "load.tar")),
    "build": Operation(("build", "-q", "-t", "built", "context"), steps=True),
    "build-run": Operation(("build", "-q", "-t", "built", "boxed"), box=True, steps=True),
    "commit": Operation(("commit", "c1", "committed"), repeatable=False),
    "tag": Operation(("tag", "base", "renamed")),
    "rmi": Operation(("rmi", "second"), repeatable=False),
    "create": Operation(("create", "--name", "c2", "base", "true"), repeatable=False),
    "rm": Operation(("rm", "c1"), repeatable=False),
    "fork": Operation(("fork", "--name", "c2", "c1"), repeatable=False),
    "reset": Operation(("reset", "c1")),
    "run": Operation(
        ("run", "--name", "c2", "--network", "none", "box", "sh", "-c", "sleep 600 & echo x >/new"),
        box=True,
        steps=True,
        repeatable=False,
    ),
    "run-rm": Operation(
        ("run", "--rm", "--network", "none", "box", "sh", "-c", "echo x >/new"),
        box=True,
        steps=True,
    ),
    "prune": Operation(("prune", "-a", "-f"), steps=True),
    "save": Operation(("save", "-o", "out.tar", "base", "second")),
    "cp-in": Operation(("cp", "second.tar", "c1:/d/sub"), steps=True),
    "cp-out": Operation(("cp", "c1:/d", "copied"), steps=True, repeatable=False, theirs="copied"),
}


class State(NamedTuple):
    """What can be seen of a store: its names, and everything that lies in its folder."""

    images: frozenset[tuple[str, str]]
    containers: frozenset[tuple[str, str]]
    files: Counter[str]


class Victim:
    """Runs the command on a copy of a prepared store, so that each kill begins from the same."""

    def __init__(self, folder: str, driver: str) -> None:
        self.folder = folder
        self.driver: str | None = driver  # None: the store itself decides
        self.root = f"{folder}/root"
        self.saved = f"{folder}.saved"
        self.options: tuple[str, ...] = ()
        self._known: frozenset[str] = frozenset()
        self._there: frozenset[str] = frozenset()
        self.env = {
            **os.environ,
            "LAMINA_RUN_ROOT": f"{folder}/run",
            "SOURCE_DATE_EPOCH": "1700000000",
            "PYTHONPATH": ":".join(sys.path),
        }

    def run(
        self, *words: str, crash: str = "", prefix: tuple[str, ...] = ()
    ) -> "subprocess.CompletedProcess[str]":
        command = [os.path.realpath(sys.executable), "-m", "lamina", "--root", self.root]
        return subprocess.run(
            [*prefix, *command, *self._chosen, *self.options, *words],
            env={**self.env, "LAMINA_TEST_CRASH": crash},
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    @property
    def _chosen(self) -> tuple[str, ...]:
        return ("--driver", self.driver) if self.driver is not None else ()

    def ok(self, *words: str) -> str:
        done = self.run(*words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def make_folder(self) -> None:
        """Make the folder that the store lies in."""
        os.mkdir(self.folder)

    # --- going back to where it began -----------------------------------------------------

    def save_state(self) -> None:
        """From here on every `restore_state` leads back to what is here now."""
        self._there = frozenset(_below(self.folder))
        self._known = frozenset(each for path in self._there for each in _IDENTITY.findall(path))
        self._save()

    def _save(self) -> None:
        subprocess.run(["cp", "-a", self.folder, self.saved], check=True)

    def restore_state(self) -> None:
        """Go back."""
        for name in os.listdir(self.folder):
            path = f"{self.folder}/{name}"
            shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
        subprocess.run(["cp", "-a", f"{self.saved}/.", self.folder], check=True)

    def was_there(self, path: str) -> bool:
        """Whether a path is part of where it began."""
        return path.removeprefix(f"{self.folder}/") in self._there

    # --- what is to be seen ---------------------------------------------------------------

    def state(self) -> State:
        """Everything visible; what is new is told without its random names."""
        files = Counter(
            self._anonymous(path) + f" {fact}"
            for path, fact in _facts(self.folder)
            if not _UNTOLD.match(path.removeprefix("root/"))
        )
        with _database(self.root) as db:
            images = db.execute(
                "SELECT coalesce(name, ''), id FROM images LEFT JOIN names ON image_id = id"
            ).fetchall()
            containers = db.execute("SELECT name, id FROM containers").fetchall()
        return State(
            frozenset((name, self._anonymous(image)) for name, image in images),
            frozenset((name, self._anonymous(each)) for name, each in containers),
            files,
        )

    def _anonymous(self, text: str) -> str:
        return _IDENTITY.sub(lambda found: found[0] if found[0] in self._known else "*", text)

    def assert_sound(self) -> None:
        """The next opener works, every row has its object and every object its row, nothing
        that was being made stays half made, and nothing runs or is mounted any more.
        """
        self._await_the_end()
        with lamina.open(
            self.root,
            run_root=f"{self.folder}/run",
            driver=self.driver,
            storage_opts=self.options[1::2],
        ) as store:
            assert store.system.check(full=True) == []
        self.assert_settled()

    def assert_settled(self) -> None:
        """Every row is of something that is used, and nobody is at work."""
        with _database(self.root) as db:
            assert layers.unsettled(db) == []
            assert layers.unreachable(db) == []
            assert blobs.unreferenced(db) == []
            assert refs.owners(db, refs.LEASE) == []
        for folder in ("staging", "trash", "quarantine", "locks/leases"):
            if os.path.isdir(f"{self.root}/{folder}"):
                assert os.listdir(f"{self.root}/{folder}") == []
        with open("/proc/self/mountinfo") as file:
            mine = [line for line in file if f"{self.folder}/" in line]
        assert self.driver == "zfs" or mine == []  # a dataset of zfs is mounted while it lives

    def _await_the_end(self) -> None:
        limit = time.monotonic() + _PATIENCE
        while left := self._processes() or self._held_rooms():
            assert time.monotonic() < limit, f"still running: {left}"
            time.sleep(0.01)

    def _held_rooms(self) -> list[str]:
        """Containers whose last process is on its way out, and shows no more than its locks."""
        locks = glob.glob(f"{self.folder}/run/*/*/lock")
        return [each for each in locks if FileLock.is_held(each)]

    def _processes(self) -> list[str]:
        """What runs in this victim's mounts or was started for it, told by where its root is."""
        mine = []
        ours = os.readlink("/proc/self/ns/mnt")
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline") as file:
                    words = file.read()
                with open(f"/proc/{pid}/mountinfo") as file:
                    mounted = f"{self.folder}/" in file.read()
                mounted = mounted and os.readlink(f"/proc/{pid}/ns/mnt") != ours
            except OSError:
                continue
            if words and (mounted or self.folder in words):
                mine.append(f"{pid} {words}")
        return mine


class BtrfsVictim(Victim):
    """One that lies in a subvolume: snapshots keep it and bring it back, with those in it.

    No image is copied: its file system lives on while anybody's namespace has the mount.
    """

    def __init__(self, ground: str, driver: str) -> None:
        super().__init__(f"{ground}/v", driver)
        self._ground = ground
        self.saved = f"{ground}/saved"

    def make_folder(self) -> None:
        """Make the folder that the store lies in."""
        with _opened(self._ground) as parent:
            btrfs.create_subvolume(parent, "v")

    def _save(self) -> None:
        self._snapshot(self.folder, self.saved)

    def restore_state(self) -> None:
        """Go back."""
        remove_tree(self.folder)
        self._snapshot(self.saved, self.folder)

    def _snapshot(self, source: str, target: str) -> None:
        with _opened(source) as made, _opened(os.path.dirname(target)) as parent:
            btrfs.snapshot(made, parent, os.path.basename(target))
            readonly = btrfs.is_readonly(made)
        layers = "root/btrfs/subvolumes"
        for name in os.listdir(f"{source}/{layers}") if os.path.isdir(f"{source}/{layers}") else ():
            os.rmdir(f"{target}/{layers}/{name}")  # what a snapshot has in a subvolume's place
            self._snapshot(f"{source}/{layers}/{name}", f"{target}/{layers}/{name}")
        with _opened(target) as copy:
            btrfs.set_readonly(copy, readonly)

    def end(self) -> None:
        """To be called at last."""
        remove_tree(self._ground)


class ThinVictim(Victim):
    """One whose layers are devices: none of them may be there when their files are replaced."""

    def __init__(self, folder: str, driver: str) -> None:
        super().__init__(f"{folder}/v", driver)
        self.options = tuple(part for each in SMALL for part in ("--storage-opt", each))

    def _save(self) -> None:
        self._await_no_device()
        super()._save()

    def restore_state(self) -> None:
        """Go back."""
        self._await_no_device()
        super().restore_state()

    def _await_no_device(self) -> None:
        """What the kernel takes away by itself is gone a moment later."""
        limit = time.monotonic() + _PATIENCE
        if not os.path.exists(f"{self.root}/devicemapper"):
            return
        status = os.stat(f"{self.root}/devicemapper")
        mine = f"lamina-{os.major(status.st_dev)}:{os.minor(status.st_dev)}-{status.st_ino}-"
        while any(name.startswith(mine) for name in devmapper.names()):
            self.run("images")  # whoever closes takes away what a killed one left
            assert time.monotonic() < limit, f"still there: {devmapper.names()}"
        pool = f"{self.root}/devicemapper/devicemapper/data"
        while loop.is_shown(pool):
            assert time.monotonic() < limit, f"still shown: {pool}"

    def end(self) -> None:
        """To be called at last."""
        self._await_no_device()

    def assert_settled(self) -> None:
        """And every device has its record."""
        super().assert_settled()
        self._await_no_device()
        driver = DevicemapperDriver(
            f"{self.root}/devicemapper", dict(each.split("=") for each in SMALL)
        )
        records = {int(dict(driver.data(each))["DeviceId"]) for each in driver.layers()}
        pool = dict(driver.status())["Pool Name"]
        try:
            assert thin_numbers(pool, max(records, default=0) + 8) - records <= {1}  # the base
        finally:
            driver.close()


def thin_numbers(pool: str, below: int) -> set[int]:
    """Which numbers are devices of a pool, whatever anybody wrote down of them."""
    found = devmapper.find(pool)
    assert found is not None
    there = set()
    for number in range(below):
        try:
            devmapper.create(f"{pool}-test", 128, "thin", f"{found.number} {number}")
        except OSError:
            continue
        there.add(number)
        devmapper.remove(f"{pool}-test")
    return there


class ZfsVictim(Victim):
    """One that lies on a pool of its own, whose image is what is kept and brought back."""

    def __init__(self, folder: str, driver: str) -> None:
        super().__init__(f"{folder}/mounted/v", driver)
        self._image, self._pool = f"{folder}/image", f"lamina-crash-{os.getpid()}"
        self.saved = f"{folder}/saved"
        subprocess.run(["truncate", "-s", "256M", self._image], check=True)
        create = ["zpool", "create", "-f", "-o", "cachefile=none", "-m", f"{folder}/mounted"]
        subprocess.run([*create, self._pool, self._image], check=True)

    def _save(self) -> None:
        self._copy(self._image, self.saved)

    def restore_state(self) -> None:
        """Go back."""
        self._copy(self.saved, self._image)

    def _copy(self, source: str, target: str) -> None:
        until_done("zpool", "export", self._pool)
        subprocess.run(["cp", "--sparse=always", source, target], check=True)
        until_done("zpool", "import", "-d", os.path.dirname(self._image), self._pool)

    def state(self) -> State:
        """Everything visible, of layers that nobody needed since the pool came back, too."""
        listed = subprocess.run(
            ["zfs", "list", "-H", "-o", "name", "-r", self._pool],
            check=True,
            capture_output=True,
            text=True,
        )
        for dataset in listed.stdout.split():
            subprocess.run(["zfs", "mount", dataset], check=False, capture_output=True)
        return super().state()

    def end(self) -> None:
        """To be called at last."""
        until_done("zpool", "destroy", "-f", self._pool)


@contextmanager
def _opened(path: str) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


# what is known of a context's files: more or less of it when it is built again after a kill, since
# files that were written just now are not believed, and those of a known step are not read
_LEARNT = "root/contexts/"


def assert_between(now: State, before: State, after: State, operation: Operation) -> None:
    """Nothing complete is lost and nothing is there that belongs neither to before nor to after."""
    lost = sorted((before.files & after.files) - now.files)
    assert [each for each in lost if not each.startswith(_LEARNT)] == []
    strange = sorted(now.files - (before.files | after.files))
    assert [each for each in strange if not each.startswith((operation.theirs, _LEARNT))] == []
    assert before.images & after.images <= now.images <= before.images | after.images
    assert before.containers & after.containers <= now.containers
    assert now.containers <= before.containers | after.containers
    if not operation.steps:
        assert (now.images, now.containers) in (
            (before.images, before.containers),
            (after.images, after.containers),
        )


def _database(root: str) -> "_Reader":
    return _Reader(root)


class _Reader:
    """The database, read beside the product."""

    def __init__(self, root: str) -> None:
        self._db = sqlite3.connect(f"file:{root}/lamina.db?mode=ro", uri=True)

    def __enter__(self) -> sqlite3.Connection:
        return self._db

    def __exit__(self, *_error: object) -> None:
        self._db.close()


def _below(folder: str) -> list[str]:
    return [path for path, _ in _facts(folder)]


def _facts(folder: str) -> list[tuple[str, str]]:
    """Every path below, with its kind, its mode and, for a file of an image, its content."""
    found = []
    for at, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = f"{at}/{name}"
            status = os.lstat(path)
            within = path[len(folder) + 1 :]
            fact = f"{status.st_mode:o}"
            if stat.S_ISREG(status.st_mode) and _CONTENT.match(within.removeprefix("root/")):
                with open(path, "rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
                fact += " as named" if digest == name else f" {digest[:16]}"
            found.append((within, fact))
    return found


def prepare(victim: Victim, operation: Operation) -> Victim:
    """Give it a store with images, a container that changed something, an archive to load."""
    folder = victim.folder
    victim.make_folder()
    _write(f"{folder}/second.tar", SECOND)
    if operation.fresh:
        return victim
    _write(f"{folder}/base.tar", BASE)
    _write(f"{folder}/third.tar", tar_of("d t\nf t/a 1\nl t/b -> a\nh t/c -> t/a\nf t/d 4"))
    _write_context(f"{folder}/context", "FROM base\nCOPY a /a\nWORKDIR /w\nENV A=b\nCOPY a b /c/\n")
    victim.ok("import", "base.tar", "base")
    victim.ok("create", "--name", "c1", "base", "true")
    _write(f"{folder}/new", b"changed")
    victim.ok("cp", "new", "c1:/new")
    victim.ok("build", "-q", "-t", "built", "context")
    victim.ok("import", "second.tar", "second")
    victim.ok("save", "-o", "load.tar", "built")
    victim.ok("rmi", "built")
    if operation.box:
        _import_box(victim)
    return victim


def _import_box(victim: Victim) -> None:
    """A root of one static program; /etc has neither hosts nor resolv.conf."""
    _write_context(f"{victim.folder}/boxed", "FROM box\nRUN echo one >/one\nCOPY a /a\n")
    program = shutil.which("busybox")
    assert program is not None
    box = f"{victim.folder}/box"
    os.makedirs(f"{box}/bin")
    os.mkdir(f"{box}/etc")
    shutil.copy2(program, f"{box}/bin/busybox")
    for name in ("sh", "sleep", "echo"):
        os.symlink("busybox", f"{box}/bin/{name}")
    subprocess.run(["tar", "-C", box, "-cf", f"{victim.folder}/box.tar", "."], check=True)
    victim.ok("import", "box.tar", "box")
    shutil.rmtree(box)


def begin_with_many(victim: Victim) -> tuple[str, ...]:
    """Let it have built a context of 1,000 files, one of which was changed then; gives the build."""
    folder = f"{victim.folder}/many"
    words = ("build", "-q", "-t", "many", "many")
    _write_context(folder, "FROM scratch\nCOPY files /files\n")
    os.mkdir(f"{folder}/files")
    for number in range(1000):
        _write(f"{folder}/files/{number}", b"%d" % number)
    victim.ok(*words)
    _write(f"{folder}/files/7", b"changed")
    os.unlink(f"{folder}/files/8")
    return words


def _write_context(folder: str, dockerfile: str) -> None:
    os.mkdir(folder)
    _write(f"{folder}/Dockerfile", dockerfile.encode())
    for name in "ab":
        _write(f"{folder}/{name}", name.encode() * 100)


def _write(path: str, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)


def was_killed(status: int) -> bool:
    """Whether a command, or strace on its behalf, ended by SIGKILL."""
    return status in (-signal.SIGKILL, 128 + signal.SIGKILL)
