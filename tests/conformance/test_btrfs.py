"""What btrfs alone can do to a layer, and what its driver makes of it."""

import errno
import os
import subprocess
import tempfile

import pytest

from lamina.drivers.btrfs import BtrfsDriver, probe
from lamina.errors import ConfigurationError
from lamina.fs.remove import remove_tree
from lamina.kernel import btrfs as ioctl
from lamina.testing.driver_bench import Bench


@pytest.fixture
def bench(btrfs):
    driver = BtrfsDriver(os.path.join(tempfile.mkdtemp(dir=btrfs), "btrfs"))
    return Bench(driver, f"{driver.home}.scratch")


def subvolume(folder, name):
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        ioctl.create_subvolume(descriptor, name)
    finally:
        os.close(descriptor)


def set_readonly(path):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        ioctl.set_readonly(descriptor, True)
    finally:
        os.close(descriptor)


def nested_subvolumes(root):
    """As a container may leave them: in each other, full, read-only, deep in its tree."""
    os.makedirs(f"{root}/a/b")
    subvolume(f"{root}/a/b", "one")
    subvolume(f"{root}/a/b/one", "two")
    for folder in ("one", "one/two"):
        with open(f"{root}/a/b/{folder}/file", "w") as file:
            file.write("x")
    set_readonly(f"{root}/a/b/one/two")
    set_readonly(f"{root}/a/b/one")


def subvolumes(path):
    listed = subprocess.run(
        ["btrfs", "subvolume", "list", path], capture_output=True, text=True, check=True
    )
    return [line.split()[-1] for line in listed.stdout.splitlines()]


def test_nested_subvolumes_go_with_their_layer(bench, btrfs):
    layer = bench.writable(bench.layer("f a.txt 1"))
    bench.inside(layer, nested_subvolumes, writable=True)
    bench.driver.remove(layer, bench.trash)
    assert not any(layer in path for path in subvolumes(btrfs))
    assert os.listdir(bench.trash) == []


def test_what_a_killed_removal_left_in_the_trash_is_removed_like_a_tree(bench, btrfs):
    layer = bench.writable(None)
    bench.inside(layer, nested_subvolumes, writable=True)
    left = os.path.join(bench.trash, f"{layer}.left")
    os.rename(bench.driver.location(layer), left)
    remove_tree(left)
    assert not any(layer in path for path in subvolumes(btrfs))


def test_what_is_in_nested_subvolumes_is_in_the_diff(bench):
    base = bench.layer("d a\nf a/b 1")
    layer = bench.writable(base)

    def replace(root):
        os.unlink(f"{root}/a/b")
        subvolume(f"{root}/a", "b")
        with open(f"{root}/a/b/file", "w") as file:
            file.write("x")

    bench.inside(layer, replace, writable=True)
    assert bench.changes(layer, base) == ["C /a", "C /a/b", "A /a/b/file"]


def test_a_renamed_directory_is_what_vanished_and_what_came(bench):
    """Its content is untouched, so the file system tells of the directory alone."""
    base = bench.layer("d a\nd a/deep\nf a/deep/x 1\nd b\nf other 1")
    layer = bench.writable(base)
    bench.inside(layer, lambda root: os.rename(f"{root}/a", f"{root}/b/c"), writable=True)
    assert bench.changes(layer, base) == [
        "D /a",
        "C /b",
        "A /b/c",
        "A /b/c/deep",
        "A /b/c/deep/x",
    ]


def test_subvolumes_that_were_copied_here_are_compared_as_trees(bench):
    """`btrfs send` or `cp` keeps no inode numbers that could be trusted."""
    base, other = bench.layer("d a\nf a/x 1\nf y 1"), bench.layer("f y 2\nd a\nf a/x 1")
    layer = bench.writable(other)
    assert bench.changes(layer, base) == ["C /y"]


def test_a_committed_layer_cannot_be_written(bench):
    layer = bench.layer("f a 1")
    with pytest.raises(OSError, match="Read-only") as raised:
        open(f"{bench.driver.location(layer)}/a", "w")
    assert raised.value.errno == errno.EROFS


def fill(root):
    """Write 8 MiB in small files, as far as they go; gives the errno that stopped it."""
    try:
        for number in range(64):
            descriptor = os.open(f"{root}/{number}", os.O_CREAT | os.O_WRONLY)
            try:
                os.write(descriptor, os.urandom(1 << 17))
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
    except OSError as error:
        return error.errno
    return None


def limited(bench, size):
    layer = bench.layer("f base " + "x" * 3000)
    made = type(layer).from_random(os.urandom(32))
    bench.driver.create_rw(made, layer, size)
    return made


def test_a_size_limits_what_is_written_and_the_base_counts_for_nothing(bench):
    assert bench.inside(limited(bench, 2 << 20), fill, writable=True) == errno.EDQUOT
    assert bench.inside(limited(bench, 32 << 20), fill, writable=True) is None


def test_a_limit_is_set_again_where_quotas_were_switched_off(bench, btrfs):
    layer = limited(bench, 2 << 20)
    subprocess.run(["btrfs", "quota", "disable", btrfs], check=True)
    assert bench.inside(layer, fill, writable=True) == errno.EDQUOT


def test_no_quota_group_is_left_behind(bench, btrfs):
    layer = limited(bench, 2 << 20)
    descriptor = os.open(bench.driver.location(layer), os.O_RDONLY)
    number = ioctl.subvolume(descriptor).id
    os.close(descriptor)
    bench.driver.remove(layer, bench.trash)
    for wait in (["filesystem", "sync"], ["subvolume", "sync"]):  # for the kernel's cleaner
        subprocess.run(["btrfs", *wait, btrfs], check=True, stdout=subprocess.DEVNULL)
    shown = subprocess.run(
        ["btrfs", "qgroup", "show", btrfs], check=True, capture_output=True, text=True
    )
    assert f"0/{number} " not in shown.stdout
    assert os.listdir(f"{bench.driver.home}/quotas") == []


def test_a_limit_below_the_least_is_refused_and_nothing_is_made(bench):
    driver = BtrfsDriver(bench.driver.home, {"btrfs.min_space": "1g"})
    with pytest.raises(ConfigurationError, match="cannot be less than 1GiB"):
        driver.create_rw(type(bench.layer("")).from_random(bytes(32)), None, 1 << 20)


def test_usage_of_a_container_is_what_it_wrote(bench):
    layer = bench.writable(bench.layer("f big " + "x" * 5000 + "\nf small 1"))

    def write(root):
        with open(f"{root}/new", "w") as file:
            file.write("12345")
        os.link(f"{root}/new", f"{root}/again")

    bench.inside(layer, write, writable=True)
    usage = bench.driver.usage(layer)
    assert (usage.size, usage.entries) == (5, 2)


def test_another_file_system_is_said_by_its_name(tmp_path):
    found = probe(str(tmp_path / "btrfs"))
    assert not found.works
    assert "not on btrfs" in found.reason


def test_the_probe_leaves_nothing_behind(bench):
    before = os.listdir(bench.driver.home)
    assert probe(bench.driver.home).works
    assert os.listdir(bench.driver.home) == before
