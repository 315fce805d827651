"""`make bench-drivers`: every driver on a fresh file system of its own, beside GNU tar and docker.

python -m bench.drivers [--only DRIVER ...] [--files N] [--rounds N] [--no-docker]

A row is a scenario, a driver a contender. Commands are measured by the wall; what a mounted tree
does is measured inside of it (`bench.inside`). A driver that this machine cannot have is left out,
with its reason.
"""

import argparse
import contextlib
import io
import os
import random
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from typing import NamedTuple

from bench import contenders, ground, inside, report
from bench.clock import Failed, output_of, tidy_exit, timed
from bench.contenders import LAMINA, PYTHON
from lamina.testing.filesystems import Unavailable, loop_mounted, zfs_pool
from scripts.apt import Missing, say

DRIVERS = ("overlay2", "erofs", "btrfs", "fuse-overlayfs", "vfs", "zfs")
_LATEST = os.path.join(os.path.dirname(report.LATEST), "drivers.json")
_FOLDER = 500  # files in one
_LARGE = 64 << 20  # bytes of the file that is copied up
_SMALL = 500  # files of the image that a commit's time is compared with


class Tars(NamedTuple):
    """The image's layer, compressed and not, a small one's, and one of a single large file."""

    plain: str
    packed: str
    small: str
    large: str


class Store:
    """One driver's store, and where its samples go."""

    def __init__(self, folder: str, driver: str, results: report.Results) -> None:
        self.driver = driver
        self._results = results
        self.env = {
            **os.environ,
            "LAMINA_ROOT": os.path.join(folder, "root"),
            "LAMINA_RUN_ROOT": os.path.join(folder, "run"),
            "LAMINA_DRIVER": driver,
        }
        self.folder = folder

    def note(self, scenario: str, seconds: float, name: str = "") -> None:
        """Keep a sample."""
        row = self._results.samples.setdefault(scenario, {})
        row.setdefault(name or self.driver, []).append(seconds)

    def take(self, scenario: str, *words: str, name: str = "") -> float:
        """Measure one command, with the disk at rest before it."""
        settle(self.folder)
        seconds = timed([LAMINA, *words], self.env)
        self.note(scenario, seconds, name)
        return seconds

    def prepare(self, *words: str) -> None:
        """A command that is not measured."""
        timed([LAMINA, *words], self.env)

    def within(self, act: str, target: str) -> float:
        """Seconds that something took in a mounted tree (bench.inside)."""
        settle(self.folder)
        words = [PYTHON, "-m", "bench.inside", act, target]
        return float(output_of(words, self.env).splitlines()[-1])

    def used(self) -> int:
        """Bytes in use on the whole file system, written out."""
        settle(self.folder)
        status = os.statvfs(self.folder)
        return (status.f_blocks - status.f_bfree) * status.f_frsize


def settle(folder: str) -> None:
    """Write out what is dirty there, so that nobody pays for another."""
    timed(["sync", "-f", folder], dict(os.environ))


def main() -> int:
    """Measure, show, keep; status 1 when a bar is missed or a command failed."""
    asked = _arguments()
    made = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    machine: dict[str, object] = {"kernel": os.uname().release, "files": asked.files, "made": made}
    results = report.Results(machine, {"lamina": output_of([LAMINA, "--version"]).split()[-1]}, {})
    try:
        with tidy_exit(), tempfile.TemporaryDirectory(prefix="lamina-bench-", dir="/dev/shm") as at:
            tars = _tars(at, asked.files)
            for number in range(asked.rounds):
                for driver in asked.only or DRIVERS:
                    say(f"bench: round {number + 1}: {driver}")
                    _driver(driver, tars, results)
                say(f"bench: round {number + 1}: tar, docker")
                _peers(tars, results, docker=not asked.no_docker)
    except (Failed, Missing) as why:
        say(f"bench: {why}")
        return 1
    report.save(results, _LATEST)
    print(report.table(results))
    return 0 if all(verdict.met for verdict in results.verdicts()) else 1


def _driver(driver: str, tars: Tars, results: report.Results) -> None:
    try:
        with _disk(driver) as folder:
            _measure(Store(folder, driver, results), tars)
    except Unavailable as why:
        say(f"bench: {driver} is left out: {why}")


@contextlib.contextmanager
def _disk(driver: str) -> Iterator[str]:
    if driver == "zfs":
        with zfs_pool("6G") as place:
            yield place
    elif driver == "btrfs":
        with loop_mounted(["mkfs.btrfs", "-q"], "6G") as place:
            yield place
    else:
        with ground.fresh() as here:
            yield here.disk


def _measure(store: Store, tars: Tars) -> None:
    """All rows of one driver."""
    store.prepare("images")
    before = store.used()
    _both(store, "import-tgz", "import", tars.packed, "packed:1")
    store.note("disk", store.used() - before)
    removed = store.take("remove", "rmi", "packed:1")
    bare = store.take("start-up", "images")
    if store.driver == "erofs":
        store.note("erofs-remove", removed, "lamina")
        store.note("erofs-remove", bare, "start-up")
    _both(store, "import-tar", "import", tars.plain, "image:1")
    store.prepare("import", tars.small, "small:1")
    store.take("create", "create", "--name", "changed", "image:1", "true")
    store.prepare("create", "--name", "changed-small", "small:1", "true")
    for name in ("changed", "changed-small"):
        store.within("change", name)
    store.take("diff", "diff", "changed")
    for name, image in (("changed", "big"), ("changed-small", "small")):
        seconds = store.take(f"commit-{image}", "commit", name, f"{image}:2")
        own = "lamina" if image == "big" else "a small image"
        store.note(f"{store.driver}-commit", seconds, own)
    store.prepare("import", tars.large, "large:1")
    store.note("copy-up", store.within("copy-up", "large:1"))
    store.note("walk", store.within("walk", "image:1"))
    read = store.within("read", "image:1")
    store.note("read-cold", read)
    if store.driver == "erofs":
        store.note("erofs-read", read, "lamina")
    store.note("mount-128", store.within("mount", "128"))


def _both(store: Store, scenario: str, *words: str) -> None:
    """A row of the driver, and of the bars that are about it."""
    seconds = store.take(scenario, *words)
    store.note(f"{store.driver}-{scenario.partition('-')[2]}", seconds, "lamina")


def _peers(tars: Tars, results: report.Results, *, docker: bool) -> None:
    """GNU tar into a directory with `sync -f`, its cold reading, and docker's import."""
    with ground.fresh() as here:
        env = dict(os.environ)
        for kind, path, flag in (("tgz", tars.packed, "-xzf"), ("tar", tars.plain, "-xf")):
            tree = os.path.join(here.disk, kind)
            os.mkdir(tree)
            settle(here.disk)
            script = f'tar {flag} "$0" -C "$1" && sync -f "$1"'
            seconds = timed(["sh", "-c", script, path, tree], env)
            for scenario in (f"import-{kind}", f"overlay2-{kind}", f"erofs-{kind}"):
                results.samples.setdefault(scenario, {}).setdefault("tar", []).append(seconds)
        inside.forget_caches()
        read = inside.read(os.path.join(here.disk, "tar"))
        results.samples.setdefault("erofs-read", {}).setdefault("ext4", []).append(read)
        if docker:
            with contenders.docker(here) as engine:
                results.versions["docker"] = engine.version
                settle(here.disk)
                seconds = timed(engine.command("import", tars.packed, "image:1"), engine.env)
                for scenario in ("import-tgz", "erofs-tgz"):
                    row = results.samples.setdefault(scenario, {})
                    row.setdefault("docker", []).append(seconds)


def _tars(folder: str, files: int) -> Tars:
    names = ("plain.tar", "packed.tgz", "small.tar", "large.tar")
    made = Tars(*(os.path.join(folder, name) for name in names))
    _write(made.plain, files)
    _write(made.small, min(files, _SMALL))
    with tarfile.open(made.large, "w") as archive:
        info = tarfile.TarInfo("large")
        info.size = _LARGE
        archive.addfile(info, io.BytesIO(bytes(range(256)) * (_LARGE // 256)))
    with open(made.packed, "wb") as target:
        subprocess.run(["gzip", "-c", made.plain], stdout=target, check=True)
    return made


def _write(path: str, files: int) -> None:
    """So many files of 600 bytes, in folders."""
    source = random.Random(1)
    with tarfile.open(path, "w") as archive:
        for number in range(files):
            if number % _FOLDER == 0:
                folder = tarfile.TarInfo(f"f{number // _FOLDER}")
                folder.type, folder.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(folder)
            info = tarfile.TarInfo(f"f{number // _FOLDER}/{number}")
            info.size, info.mtime = 600, 1_000_000_000
            archive.addfile(info, io.BytesIO(source.randbytes(300).hex().encode()))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-drivers", description=__doc__)
    parser.add_argument("--only", nargs="*", choices=DRIVERS)
    parser.add_argument("--files", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-docker", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
