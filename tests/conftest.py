"""Fixtures every test may use: scratch roots, and skips that say their reason.

A missing capability skips under `make test`; where LAMINA_REQUIRE_ALL is set (CI installs every
peer program) it fails instead, so that nothing is skipped silently where it was promised.
"""

import gc
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack

import pytest
from hypothesis import HealthCheck, settings

from lamina.drivers import devicemapper
from lamina.drivers.erofs import probe
from lamina.testing.filesystems import Unavailable, loop_mounted, zfs_pool

DRIVERS = ["overlay2", "fuse-overlayfs", "btrfs", "zfs", "erofs", "vfs"]
if os.path.exists("/dev/mapper/control"):  # else each of its tests would skip for the same reason
    DRIVERS.append("devicemapper")
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")  # a busy machine fails no test
SMALL = ("dm.basesize=64m", "dm.loopdatasize=1g", "dm.loopmetadatasize=16m")


def pytest_configure() -> None:
    """Let what tests start be interrupted, even where a shell has us in its background."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Three on two processors: tests wait for disks, for other programs and for the kernel, too."""
    return (len(os.sched_getaffinity(0)) * 3 + 1) // 2


def pytest_collection_finish() -> None:
    """Thousands of tests stay to the end: who collects garbage need not look at them each time."""
    gc.collect()
    gc.freeze()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`driver` is each driver in turn unless a test names its own, `other_driver` each but overlay2."""
    named = {mark.args[0] for mark in metafunc.definition.iter_markers("parametrize")}
    if "driver" in metafunc.fixturenames and not any("driver" in names for names in named):
        metafunc.parametrize("driver", DRIVERS)
    if "other_driver" in metafunc.fixturenames:
        metafunc.parametrize("other_driver", [name for name in DRIVERS if name != "overlay2"])


def lacking(reason: str) -> None:
    """Skip with `reason`, or fail where everything was promised."""
    if os.environ.get("LAMINA_REQUIRE_ALL"):
        pytest.fail(f"promised but missing: {reason}")
    pytest.skip(reason)


def kernel_lacks(reason: str) -> None:
    """Skip for want of what no package brings; fail in the guest, which is there to have it."""
    if os.environ.get("LAMINA_IN_GUEST"):
        pytest.fail(f"promised but missing: {reason}")
    pytest.skip(reason)


def can_mount() -> bool:
    """True where this process holds CAP_SYS_ADMIN (bit 21, include/uapi/linux/capability.h)."""
    with open("/proc/self/status", encoding="ascii") as status:
        for line in status:
            if line.startswith("CapEff:"):
                return bool(int(line.split()[1], 16) >> 21 & 1)
    return False


@pytest.fixture
def needs_root() -> None:
    if os.geteuid() != 0:
        lacking("needs uid 0")


@pytest.fixture
def needs_mounts() -> None:
    if not can_mount():
        lacking("needs CAP_SYS_ADMIN to mount")


@pytest.fixture(scope="session")
def erofs_probe() -> str:
    """Why EROFS images cannot be used here; empty where they can."""
    with tempfile.TemporaryDirectory() as folder:
        found = probe(f"{folder}/erofs")
    return "" if found.works else found.reason


@pytest.fixture
def needs_erofs(needs_mounts: None, erofs_probe: str) -> None:
    if erofs_probe:
        lacking(f"needs EROFS images: {erofs_probe}")


@pytest.fixture(scope="session")
def needs_thin_pools() -> None:
    """Skip where the kernel has no device-mapper, in its own words."""
    if os.geteuid() != 0 or not can_mount():
        lacking("needs root to make thin devices")
    with tempfile.TemporaryDirectory() as folder:
        found = devicemapper.probe(f"{folder}/devicemapper")
    if not found.works:
        kernel_lacks(f"needs thin pools: {found.reason}")


@pytest.fixture(scope="session")
def needs_program() -> Callable[[str], str]:
    """A function that gives the path of a program, or skips."""

    def find(name: str) -> str:
        path = shutil.which(name)
        if path is None:
            lacking(f"needs the program {name}")
            raise AssertionError
        return path

    return find


@pytest.fixture(scope="session")
def needs_fuse() -> None:
    """Skip where there is no /dev/fuse to be opened."""
    if not os.path.exists("/dev/fuse") and shutil.which("modprobe"):
        subprocess.run(["modprobe", "-q", "fuse"], check=False)
    if not os.path.exists("/dev/fuse"):
        kernel_lacks("needs /dev/fuse")


@pytest.fixture(scope="session")
def needs_seccomp_profile() -> str:
    """The path of docker's seccomp profile as the distribution has it, or a skip."""
    path = "/usr/share/containers/seccomp.json"
    if not os.path.exists(path):
        lacking("needs a seccomp profile (package golang-github-containers-common)")
    return path


@pytest.fixture(scope="session")
def published_tables() -> str:
    """The folder of published test tables (LAMINA_FIXTURES), or a skip."""
    default = os.path.join(os.path.dirname(__file__), "..", "..", "shared", "fixtures")
    path = os.environ.get("LAMINA_FIXTURES", default)
    if not os.path.isdir(path):
        pytest.skip("the published test tables are not here (set LAMINA_FIXTURES)")
    return os.path.abspath(path)


@pytest.fixture(scope="session")
def busybox_tar(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A root file system of busybox alone, as a tar."""
    program = shutil.which("busybox")
    if program is None or b"statically linked" not in _file_kind(program):
        lacking("needs a static busybox (package busybox-static)")
        raise AssertionError
    folder = tmp_path_factory.mktemp("busybox")
    root = folder / "root"
    for name in ("bin", "etc", "tmp", "root"):
        (root / name).mkdir(parents=True)
    shutil.copy(program, root / "bin" / "busybox")
    names = subprocess.run([program, "--list"], capture_output=True, text=True, check=True)
    for name in names.stdout.split():
        if name != "busybox":
            (root / "bin" / name).symlink_to("busybox")
    (root / "etc" / "passwd").write_text(
        "root:x:0:0:root:/root:/bin/sh\nbob:x:1000:1000::/:/bin/sh\n"
    )
    (root / "etc" / "group").write_text("root:x:0:\nbob:x:1000:\nwheel:x:10:bob\n")
    path = folder / "busybox.tar"
    subprocess.run(
        [
            "tar",
            "--sort=name",
            "--owner=0",
            "--group=0",
            "--numeric-owner",
            "--mtime=@0",
            "-C",
            str(root),
            "-cf",
            str(path),
            ".",
        ],
        check=True,
    )
    return str(path)


def _file_kind(path: str) -> bytes:
    with open(path, "rb") as file:
        data = file.read(4096)
    return b"statically linked" if b"/ld-linux" not in data else b"dynamic"


@pytest.fixture(scope="session")
def btrfs() -> Iterator[str]:
    """A mounted btrfs, one for the whole session."""
    yield from _mounted(loop_mounted(["mkfs.btrfs", "-q"], "512M"))


@pytest.fixture(scope="session")
def zfs() -> Iterator[str]:
    """A mounted dataset of a pool, one for the whole session."""
    yield from _mounted(zfs_pool())


def _mounted(made: AbstractContextManager[str]) -> Iterator[str]:
    if os.geteuid() != 0 or not can_mount():
        lacking("needs root to mount a file system")
    with ExitStack() as stack:
        try:
            path = stack.enter_context(made)
        except Unavailable as error:
            lacking(str(error))
            raise AssertionError from error
        yield path


@pytest.fixture
def site(request: pytest.FixtureRequest, tmp_path: os.PathLike[str]) -> Callable[[str], str]:
    """A function that gives a new directory in which a driver of that name works, or skips."""

    def find(driver: str) -> str:
        if os.geteuid() != 0 or not can_mount():
            lacking(f"needs root to mount layers of {driver}")
        if driver == "erofs":
            request.getfixturevalue("needs_erofs")
        if driver == "devicemapper":
            request.getfixturevalue("needs_thin_pools")
        if driver == "fuse-overlayfs" and shutil.which(driver) is None:
            lacking("needs the program fuse-overlayfs")
        if driver in ("btrfs", "zfs"):
            return tempfile.mkdtemp(dir=request.getfixturevalue(driver))
        return tempfile.mkdtemp(dir=tmp_path)

    return find
