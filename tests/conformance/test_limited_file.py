"""A size limit where there are no project quotas: what a container writes lies in a file of its own."""

import errno
import os
import secrets
import signal
import subprocess
import sys
import time

import pytest

from lamina.drivers.erofs import ErofsDriver
from lamina.drivers.overlay2 import OverlayDriver
from lamina.errors import ConfigurationError, ProgramMissing, StoreDamaged
from lamina.fs import limited
from lamina.testing.driver_bench import Bench
from lamina.values.ids import LayerID

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")
MB = 1 << 20


@pytest.fixture(params=["overlay2", "erofs"])
def bench(request, tmp_path, needs_program):
    needs_program("mkfs.ext4")
    if request.param == "erofs":
        request.getfixturevalue("needs_erofs")
        driver = ErofsDriver(str(tmp_path / "erofs"), str(tmp_path / "run"))
    else:
        driver = OverlayDriver(str(tmp_path / "overlay2"))
    made = Bench(driver, str(tmp_path / "scratch"))
    yield made
    if request.param == "erofs":
        driver.close()
    assert_no_device(tmp_path)


def devices(folder):
    """The loop devices that show a file beneath a folder."""
    done = subprocess.run(
        ["losetup", "-n", "-O", "BACK-FILE"], check=True, capture_output=True, text=True
    )
    return [line for line in done.stdout.splitlines() if str(folder) in line]


def assert_no_device(path):
    """The kernel takes a mount down when its last user has ended, in its own time."""
    limit = time.monotonic() + 20
    while left := devices(path):
        assert time.monotonic() < limit, left


def limited_layer(bench, parent, size):
    layer = LayerID.from_random(secrets.token_bytes(32))
    bench.driver.create_rw(layer, parent, size)
    return layer


def fill(root):
    """Write until there is no room; gives the error and how much went in."""
    with open(f"{root}/big", "wb", buffering=0) as file:
        try:
            while file.write(bytes(MB)):
                pass
        except OSError as error:
            return error.errno, os.fstat(file.fileno()).st_size
    raise AssertionError


@pytest.mark.parametrize("size", [4 * MB, 30 * MB, 200 * MB])
def test_the_limit_is_where_it_was_set(bench, size):
    base = bench.layer("f base " + "x" * 3000)
    layer = limited_layer(bench, base, size)
    assert bench.driver.limit(layer) == size
    number, written = bench.inside(layer, fill, writable=True)
    assert number == errno.ENOSPC
    assert size <= written + 4096 <= size * 1.02 + 2 * MB
    assert bench.driver.usage(layer).size == written


def test_what_is_in_the_file_is_read_with_and_without_a_mount(bench):
    base = bench.layer("d d\nf d/a 1\nf d/b 2\nf e 3")
    layer = limited_layer(bench, base, 8 * MB)

    def change(root):
        os.unlink(f"{root}/d/a")
        with open(f"{root}/d/new", "w") as file:
            file.write("12345")
        return told()

    def told():
        return bench.changes(layer, base), bench.tree(layer), bench.driver.usage(layer).size

    inside = bench.inside(layer, change, writable=True)
    assert inside == told()
    assert inside[0] == ["C /d", "D /d/a", "A /d/new"]
    assert inside[2] == 5
    assert bench.inside(layer, lambda root: sorted(os.listdir(f"{root}/d")), writable=True) == [
        "b",
        "new",
    ]


def test_over_nothing(bench):
    layer = limited_layer(bench, None, 4 * MB)
    bench.inside(layer, lambda root: os.mkdir(f"{root}/d"), writable=True)
    assert bench.changes(layer, None) == ["A /d"]


def test_the_file_takes_up_what_is_in_it_and_goes_with_the_layer(bench):
    layer = limited_layer(bench, bench.layer("f a 1"), 1 << 30)
    path = bench.driver.writable_root(layer)
    assert os.stat(path).st_blocks * 512 < 3 * MB

    def come_and_go(root):
        with open(f"{root}/big", "wb") as file:
            file.write(secrets.token_bytes(16 * MB))
            os.fsync(file.fileno())
        os.unlink(f"{root}/big")
        limit = time.monotonic() + 20
        while os.stat(path).st_blocks * 512 >= 8 * MB:  # ext4 gives it back after its next commit
            assert time.monotonic() < limit
            os.sync()

    bench.inside(layer, come_and_go, writable=True)
    bench.driver.remove(layer, bench.trash)
    assert not os.path.exists(path)
    assert os.listdir(bench.trash) == []


def test_two_who_mount_it_see_one_file_system(bench):
    layer = limited_layer(bench, bench.layer("f a 1"), 8 * MB)
    path = bench.driver.writable_root(layer)
    first, second = limited.mount(path), limited.mount(path)
    try:
        with open(f"/proc/self/fd/{first}/upper/x", "w") as file:
            file.write("now")
            file.flush()
            with open(f"/proc/self/fd/{second}/upper/x") as again:
                assert again.read() == "now"
        assert len(devices(path)) == 1
    finally:
        os.close(first)
        os.close(second)


def test_a_device_that_cannot_be_asked_is_not_taken_for_another_files(bench):
    layer = limited_layer(bench, bench.layer("f a 1"), 8 * MB)
    path = bench.driver.writable_root(layer)
    code = "import os, sys; from lamina.kernel import loop; loop.find(os.open(sys.argv[1], 0))"
    script = f'mount -t tmpfs none /dev && exec "$0" -c "{code}" "$1"'
    env = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
    command = ["unshare", "-m", "sh", "-c", script, sys.executable, path]
    mounted = limited.mount(path)
    try:
        done = subprocess.run(command, check=False, env=env, capture_output=True, text=True)
    finally:
        os.close(mounted)
    assert "may show it and cannot be asked: No such file" in done.stderr
    assert_no_device(path)
    done = subprocess.run(command, check=False, env=env, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")  # nor are others' devices in the way


def test_a_killed_process_leaves_no_device_and_no_damage(bench):
    layer = limited_layer(bench, bench.layer("f a 1"), 8 * MB)
    path = bench.driver.writable_root(layer)
    script = (
        "import os, signal, sys\n"
        "from lamina.fs import limited\n"
        "made = limited.mount(sys.argv[1])\n"
        "open(f'/proc/self/fd/{made}/upper/x', 'w').write('kept')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    env = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", script, path], check=False, env=env)
    assert done.returncode == -signal.SIGKILL
    assert_no_device(path)
    assert subprocess.run(
        ["fsck.ext4", "-fn", path], check=False, capture_output=True
    ).returncode in (0, 4)
    assert bench.driver.usage(layer).size == 4


def test_what_the_disk_below_has_no_room_for_is_told(bench, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "none", small], check=True)
    try:
        limited.make(f"{small}/file", 64 * MB)
        mounted = limited.mount(f"{small}/file")
        try:
            with open(f"/proc/self/fd/{mounted}/upper/big", "wb") as file:
                file.write(bytes([1]) * (20 * MB))  # all of it fits into memory
            with pytest.raises(OSError, match=r"No space left|Input/output error|Read-only"):
                limited.sync(f"{small}/file")
        finally:
            os.close(mounted)
        assert_no_device(small)
    finally:
        subprocess.run(["umount", "-l", small], check=True)


def test_a_container_whose_file_is_lost_does_not_become_one_without_a_limit(bench):
    layer = limited_layer(bench, bench.layer("f a 1"), 4 * MB)
    os.unlink(bench.driver.writable_root(layer))
    with pytest.raises(StoreDamaged, match="limited is missing"):
        bench.driver.mounts(layer, writable=True)
    bench.driver.remove(layer, bench.trash)
    assert layer not in set(bench.driver.layers())


def test_a_missing_program_is_named_and_nothing_is_made(bench, monkeypatch):
    base = bench.layer("f a 1")
    monkeypatch.setattr(limited, "PATH", "/nowhere")
    with pytest.raises(ProgramMissing, match=r"mkfs\.ext4.*install the package e2fsprogs"):
        limited_layer(bench, base, 4 * MB)


def test_a_limit_too_small_for_a_file_system_is_refused(bench):
    with pytest.raises(ConfigurationError, match="cannot be less than 4MiB"):
        limited_layer(bench, bench.layer("f a 1"), MB)
