"""A size limit on overlay2 that project quotas hold; where there are none see test_limited_file."""

import errno
import os
import secrets
import subprocess
from contextlib import ExitStack

import pytest

from lamina.drivers.overlay2 import OverlayDriver
from lamina.testing.driver_bench import Bench
from lamina.testing.filesystems import Unavailable, loop_mounted
from lamina.values.ids import LayerID
from tests.conftest import kernel_lacks

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")


@pytest.fixture
def quota():
    """A file system with project quotas; not every kernel has them."""
    with ExitStack() as stack:
        try:
            yield stack.enter_context(loop_mounted(["mkfs.xfs", "-q"], "320M", "prjquota"))
        except Unavailable as error:
            kernel_lacks(f"project quotas: {error}")


def made(bench, parent, size=None):
    layer = LayerID.from_random(secrets.token_bytes(32))
    bench.driver.create_rw(layer, parent, size)
    return layer


def fill(size):
    def write(root):
        try:
            with open(f"{root}/big", "wb", buffering=0) as file:
                for _ in range(size >> 20):
                    file.write(bytes(1 << 20))
                os.fsync(file.fileno())
        except OSError as error:
            return error.errno
        return 0

    return write


def report(path):
    done = subprocess.run(
        ["xfs_quota", "-x", "-c", "report -p -n -N", path],
        check=True,
        capture_output=True,
        text=True,
    )
    return [line.split() for line in done.stdout.splitlines() if line.strip()]


def test_each_layer_is_held_to_its_own_size(quota):
    bench = Bench(OverlayDriver(f"{quota}/overlay2"), f"{quota}/scratch")
    base = bench.layer("f base " + "x" * 3000)
    small, large, free = made(bench, base, 4 << 20), made(bench, base, 32 << 20), made(bench, base)
    assert bench.inside(small, fill(8 << 20), writable=True) in (errno.ENOSPC, errno.EDQUOT)
    assert bench.inside(large, fill(8 << 20), writable=True) == 0
    assert bench.inside(free, fill(40 << 20), writable=True) == 0
    assert bench.changes(large, base) == ["A /big"]


def test_the_limit_goes_with_the_layer(quota):
    bench = Bench(OverlayDriver(f"{quota}/overlay2"), f"{quota}/scratch")
    layer = made(bench, bench.layer("f a 1"), 4 << 20)
    assert [row[3] for row in report(quota) if row[3] != "0"] == ["4096"]
    bench.driver.remove(layer, bench.trash)
    assert [row[3] for row in report(quota) if row[3] != "0"] == []
    assert os.listdir(bench.trash) == []


def test_the_option_limits_layers_that_ask_for_nothing(quota):
    driver = OverlayDriver(f"{quota}/overlay2", {"overlay2.size": "4m"})
    bench = Bench(driver, f"{quota}/scratch")
    layer = made(bench, bench.layer("f a 1"))
    assert bench.inside(layer, fill(8 << 20), writable=True) in (errno.ENOSPC, errno.EDQUOT)
