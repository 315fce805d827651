"""What is devicemapper's own: the pool, its counter, and what is said when it is full or gone."""

import errno
import io
import os
import secrets
import subprocess
import sys
import tarfile
import tempfile
from contextlib import contextmanager, suppress

import pytest

from lamina.archive.reader import read
from lamina.drivers.devicemapper import DevicemapperDriver, probe
from lamina.errors import (
    ConfigurationError,
    DiskFull,
    DriverError,
    DriverNotSupported,
    StoreDamaged,
)
from lamina.kernel import devmapper
from lamina.testing.driver_bench import Bench
from lamina.values.ids import LayerID
from tests.conftest import SMALL

OPTIONS = dict(each.split("=") for each in SMALL)


@pytest.fixture
def home(site):
    return os.path.join(site("devicemapper"), "devicemapper")


@contextmanager
def opened(home, **options):
    driver = DevicemapperDriver(home, {**OPTIONS, **{f"dm.{k}": v for k, v in options.items()}})
    bench = Bench(driver, f"{home}.scratch")
    try:
        yield bench
    finally:
        bench.close()


def made(bench, parent, size=None):
    layer = LayerID.from_random(secrets.token_bytes(32))
    bench.driver.create_rw(layer, parent, size)
    return layer


def fill(size):
    def write(root):
        try:
            with open(f"{root}/big", "wb", buffering=0) as file:
                for _ in range(size >> 20):
                    file.write(os.urandom(1 << 20))
                os.fsync(file.fileno())
        except OSError as error:
            return error.errno
        return 0

    return write


def noise(size):
    """A tar with one file of that many bytes."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo("big")
        info.size = size
        archive.addfile(info, io.BytesIO(os.urandom(size)))
    out.seek(0)
    return out


def ours():
    return [name for name in devmapper.names() if name.startswith("lamina-")]


def await_none():
    """What the kernel takes away by itself is gone a moment later; asking again is no harm."""
    while left := ours():
        for name in left:
            with suppress(OSError):
                devmapper.remove_with_last_user(name)


@pytest.fixture
def pool(needs_thin_pools):
    """A pool that somebody else made, with somebody else's device in it."""
    name = f"test-pool-{os.getpid()}"
    with tempfile.TemporaryDirectory() as folder:
        loops = []
        for file, size in (("metadata", "8M"), ("data", "512M")):
            subprocess.run(["truncate", "-s", size, f"{folder}/{file}"], check=True)
            shown = subprocess.run(
                ["losetup", "-f", "--show", f"{folder}/{file}"],
                check=True,
                capture_output=True,
                text=True,
            )
            loops.append(shown.stdout.strip())
        numbers = [os.stat(each).st_rdev for each in loops]
        table = " ".join(f"{os.major(each)}:{os.minor(each)}" for each in numbers)
        devmapper.create(name, 1 << 20, "thin-pool", f"{table} 128 0")
        devmapper.send(name, "create_thin 1")
        try:
            yield name
        finally:
            devmapper.remove(name)
            subprocess.run(["losetup", "-d", *loops], check=True)


def test_nothing_of_it_is_left_when_nobody_needs_it(home):
    with opened(home) as bench:
        base = bench.layer("f a 1")
        assert bench.tree(base) == ["f a 1 644 0:0"]
        assert any(name.endswith("-pool") for name in ours())
    await_none()
    loops = subprocess.run(
        ["losetup", "-n", "-O", "BACK-FILE"], capture_output=True, text=True, check=True
    )
    assert home not in loops.stdout
    with open("/proc/self/mountinfo") as table:
        assert "lamina-" not in table.read()


def test_a_store_comes_back_as_it_was(home):
    with opened(home) as bench:
        top = bench.stack("f a 1", "f b 2")
    with opened(home) as bench:
        assert bench.tree(top) == ["f a 1 644 0:0", "f b 2 644 0:0"]


def test_a_committed_layer_cannot_be_written(home):
    with opened(home) as bench:
        layer = bench.layer("f a 1")

        def write(root):
            with pytest.raises(OSError, match="Read-only"):
                open(f"{root}/a", "w")

        bench.inside(layer, write, writable=True)


def test_what_a_removed_layer_had_is_free_again(home):
    with opened(home) as bench:
        base = bench.layer("f a 1")
        data = dict(bench.driver.status())["Data loop file"]
        layer = made(bench, base)
        before = os.stat(data).st_blocks
        assert bench.inside(layer, fill(16 << 20), writable=True) == 0
        assert os.stat(data).st_blocks > before + (16 << 11)
        bench.driver.remove(layer, bench.trash)
        assert os.stat(data).st_blocks < before + (4 << 11)


def test_a_size_is_that_of_the_device(home):
    with opened(home) as bench:
        base = bench.layer("f a 1")
        plain, large = made(bench, base), made(bench, base, 192 << 20)
        assert bench.inside(plain, fill(96 << 20), writable=True) == errno.ENOSPC
        assert bench.inside(large, fill(96 << 20), writable=True) == 0
        assert bench.changes(large, base) == ["A /big"]
        with pytest.raises(DriverNotSupported, match="cannot be smaller than 64MiB"):
            made(bench, base, 63 << 20)
        assert set(bench.driver.layers()) == {base, plain, large}


def test_xfs_can_be_chosen_and_grows(home):
    with opened(home, fs="xfs", basesize="320m") as bench:
        base = bench.layer("f a 1")
        before, after = (
            bench.inside(each, lambda root: os.statvfs(root).f_blocks << 12, writable=True)
            for each in (made(bench, base), made(bench, base, 400 << 20))
        )
        assert after - before == 80 << 20
        assert dict(bench.driver.status())["Backing Filesystem"] == "xfs"


def test_a_pool_without_enough_room_is_said_before_anything_is_made(home):
    with opened(home) as bench:
        base = bench.layer("f a 1")
    with opened(home, min_free_space="100%") as bench:
        with pytest.raises(DiskFull, match=r"data left, less than the 100 % that are kept free"):
            made(bench, base)
        assert list(bench.driver.layers()) == [base]


def test_a_pool_that_runs_full_is_one_error_and_can_be_emptied(home):
    with opened(home, basesize="256m", loopdatasize="48m", min_free_space="0%") as bench:
        base = bench.layer("f a 1")
        layer = LayerID.from_random(secrets.token_bytes(32))
        bench.driver.create(layer, base)
        with pytest.raises(DiskFull, match=r"the thin pool lamina-.* is full"):
            bench.driver.apply(layer, base, read(noise(56 << 20)), lambda placed: None)
        bench.driver.remove(layer, bench.trash)
        assert bench.tree(bench.layer("f b 2", base)) == ["f a 1 644 0:0", "f b 2 644 0:0"]


def test_layers_lie_in_the_pool_that_is_named_beside_others_devices(home, pool):
    with opened(home, thinpooldev=pool) as bench:
        top = bench.stack("f a 1", "f b 2")
        assert bench.tree(top) == ["f a 1 644 0:0", "f b 2 644 0:0"]
        assert not os.path.exists(f"{home}/devicemapper/data")
        numbers = {dict(bench.driver.data(each))["DeviceId"] for each in bench.driver.layers()}
        assert "1" not in numbers  # it was there before us
        for doomed in list(bench.driver.layers()):
            bench.driver.remove(doomed, bench.trash)
        assert "Warning" not in dict(bench.driver.status())
        assert numbers_in(bench) == {1}


def test_a_pool_that_vanished_is_one_error(home, pool):
    with opened(home, thinpooldev=pool) as bench:
        layer = bench.layer("f a 1")
    assert devmapper.find(pool) is not None
    os.rename(f"{home}/metadata/deviceset-metadata", f"{home}/set")
    with open(f"{home}/set") as old, open(f"{home}/metadata/deviceset-metadata", "w") as new:
        new.write(old.read().replace(pool, "no-such-pool"))
    with (
        opened(home) as bench,
        pytest.raises(DriverError, match="the thin pool no-such-pool is not there"),
    ):
        bench.driver.view(layer)


def test_a_pool_that_another_store_used_is_refused(home, pool):
    with opened(home, thinpooldev=pool) as bench:
        layer = bench.layer("f a 1")
    with opened(f"{home}.other", thinpooldev=pool) as bench:
        bench.layer("f b 1")
    with (
        opened(home, thinpooldev=pool) as bench,
        pytest.raises(StoreDamaged, match=r"is at transaction \d+ and the store at .* at \d+"),
    ):
        bench.driver.view(layer)


def killed(home, parent, point):
    """Have the layer of 64 f made by somebody who is killed at a point."""
    code = (
        "from lamina.drivers.devicemapper import DevicemapperDriver as D\n"
        f"D({home!r}, {OPTIONS!r}).create('f' * 64, {parent!r})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "LAMINA_TEST_CRASH": point},
        check=False,
    )
    assert done.returncode == -9


@pytest.mark.parametrize("point", ["device-noted", "device-made", "device-counted"])
def test_a_killed_maker_leaves_no_device(home, point):
    with opened(home) as bench:
        base = bench.layer("f a 1")
    killed(home, str(base), point)
    with opened(home) as bench:
        bench.driver.remove(LayerID("f" * 64), bench.trash)
        assert list(bench.driver.layers()) == [base]
        assert numbers_in(bench) == {1, 2}
        top = bench.layer("f b 1", base)
        assert bench.tree(top) == ["f a 1 644 0:0", "f b 1 644 0:0"]


def numbers_in(bench):
    """Which of the first numbers are devices of the pool, whatever the records say."""
    status = dict(bench.driver.status())
    found = set()
    number = devmapper.find(status["Pool Name"]).number
    for each in range(8):
        try:
            devmapper.create("lamina-test", 128, "thin", f"{number} {each}")
        except OSError:
            continue
        found.add(each)
        devmapper.remove("lamina-test")
    return found


@pytest.mark.parametrize("point", ["device-made", "base-formatted"])
def test_a_base_that_was_not_finished_is_made_anew(home, point):
    killed(home, None, point)
    with opened(home) as bench:
        bench.driver.remove(LayerID("f" * 64), bench.trash)
        assert bench.tree(bench.layer("f b 1")) == ["f b 1 644 0:0"]
        assert len(numbers_in(bench)) == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dm.fs": "btrfs"}, "no file system 'btrfs'"),
        ({"dm.min_free_space": "lots"}, "dm.min_free_space is 'lots'"),
    ],
)
def test_options_that_say_nothing_are_refused(tmp_path, options, words):
    with pytest.raises(ConfigurationError, match=words):
        DevicemapperDriver(str(tmp_path / "devicemapper"), options)


def test_a_kernel_without_it_is_said_in_its_own_words(tmp_path):
    if os.path.exists(devmapper.CONTROL):
        pytest.skip("this kernel has device-mapper")
    found = probe(str(tmp_path / "devicemapper"))
    assert not found.works
    assert found.reason == f"device-mapper: {devmapper.CONTROL}: No such file or directory"


def test_the_probe_names_a_pool_that_is_not_there(tmp_path, needs_thin_pools):
    found = probe(str(tmp_path / "devicemapper"), {"dm.thinpooldev": "nosuch"})
    assert not found.works
    assert found.reason == "device-mapper: nosuch: No such device or address"


def test_the_probe_leaves_nothing_behind(tmp_path, needs_thin_pools):
    assert probe(str(tmp_path / "devicemapper")).works
    assert os.listdir(tmp_path) == []
    await_none()
