"""Every driver of ours under the one suite."""

import os
import tempfile
from collections.abc import Callable, Iterator

import pytest

from lamina.drivers import fuse_overlayfs, overlay2
from lamina.drivers.api import Driver
from lamina.drivers.btrfs import BtrfsDriver
from lamina.drivers.devicemapper import DevicemapperDriver
from lamina.drivers.erofs import ErofsDriver
from lamina.drivers.fuse_overlayfs import FuseOverlayDriver
from lamina.drivers.overlay2 import OverlayDriver
from lamina.drivers.vfs import VfsDriver
from lamina.drivers.zfs import ZfsDriver
from lamina.testing.driver_bench import Bench
from lamina.testing.driver_suite import DriverSuite
from tests.conftest import SMALL


@pytest.mark.usefixtures("needs_root", "needs_mounts")
class TestOverlay2(DriverSuite):
    @pytest.fixture
    def make(self, tmp_path: os.PathLike[str]) -> Callable[[], Driver]:
        home = os.path.join(tmp_path, "overlay2")
        return lambda: OverlayDriver(home, features=overlay2.probe(home).features)


@pytest.mark.usefixtures("needs_root", "needs_mounts")
class TestVfs(DriverSuite):
    @pytest.fixture
    def make(self, tmp_path: os.PathLike[str]) -> Callable[[], Driver]:
        return lambda: VfsDriver(os.path.join(tmp_path, "vfs"))


@pytest.mark.usefixtures("needs_root", "needs_erofs")
class TestErofs(DriverSuite):
    @pytest.fixture
    def make(self, tmp_path: os.PathLike[str]) -> Callable[[], Driver]:
        home, run = (os.path.join(tmp_path, name) for name in ("erofs", "run"))
        return lambda: ErofsDriver(home, run)


@pytest.mark.usefixtures("needs_root", "needs_erofs")
class TestErofsByLoopDevices(DriverSuite):
    """In memory, where the kernel takes no file as a source."""

    @pytest.fixture
    def make(self) -> Iterator[Callable[[], Driver]]:
        with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
            yield lambda: ErofsDriver(f"{folder}/erofs", f"{folder}/run")


class TestBtrfs(DriverSuite):
    @pytest.fixture
    def make(self, btrfs: str) -> Callable[[], Driver]:
        return lambda: BtrfsDriver(os.path.join(tempfile.mkdtemp(dir=btrfs), "btrfs"))


class TestFuseOverlayfs(DriverSuite):
    @pytest.fixture
    def make(self, site: Callable[[str], str]) -> Callable[[], Driver]:
        home = os.path.join(site("fuse-overlayfs"), "fuse-overlayfs")
        return lambda: FuseOverlayDriver(home, fuse_overlayfs.probe(home).features)


class TestZfs(DriverSuite):
    @pytest.fixture
    def make(self, site: Callable[[str], str]) -> Callable[[], Driver]:
        return lambda: ZfsDriver(os.path.join(site("zfs"), "zfs"))

    def test_times_are_kept_below_the_second(self, bench: Bench) -> None:
        """zfs-fuse loses them; OpenZFS, which has a device, does not."""
        kept = 500_000_000 if os.path.exists("/dev/zfs") else 0
        assert self.time_of(bench, 1_000_000_000.5) == 1_000_000_000_000_000_000 + kept


class TestDevicemapper(DriverSuite):
    @pytest.fixture
    def make(self, site: Callable[[str], str]) -> Callable[[], Driver]:
        home = os.path.join(site("devicemapper"), "devicemapper")
        return lambda: DevicemapperDriver(home, dict(each.split("=") for each in SMALL))
