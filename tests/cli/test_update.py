"""`update`: other limits for containers, from now on also where they run."""

import os

import pytest

from lamina.fs.cgroups import BOX, folder_of, is_unified
from tests.cli.rig import assert_complaint, told

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")


@pytest.fixture
def apart(base, needs_program):
    """A store with the image `base`; whatever is left running is removed."""
    needs_program("crun")
    yield base
    left = base.ok("ps", "-aq").split()
    if left:
        base.ok("rm", "-f", *left)


def held_to(lamina, name, controller, *files):
    """What the kernel holds a container to, of its file in version 1 or 2."""
    (document,) = told(lamina, "inspect", name)
    path = os.path.join(folder_of(document["Id"], controller), BOX, files[is_unified()])
    with open(path, encoding="ascii") as file:
        return file.read().strip()


def memory(lamina, name):
    return held_to(lamina, name, "memory", "memory.limit_in_bytes", "memory.max")


def test_limits_of_a_running_container_change_at_once(apart):
    apart.ok("run", "-d", "--name", "c1", "-m", "32m", "base", "sleep", "1000")
    for size in (64 << 20, 16 << 20):  # up, where swap has to go first, and down
        assert apart.ok("update", "-m", str(size), "c1") == "c1\n"
        assert memory(apart, "c1") == str(size)
        assert told(apart, "inspect", "c1")[0]["HostConfig"]["Memory"] == size
    apart.ok("update", "--pids-limit", "7", "--cpus", "0.5", "c1")
    assert held_to(apart, "c1", "pids", "pids.max", "pids.max") == "7"
    quota = held_to(apart, "c1", "cpu", "cpu.cfs_quota_us", "cpu.max")
    assert quota.split()[0] == "50000"
    host = told(apart, "inspect", "c1")[0]["HostConfig"]
    assert (host["Memory"], host["PidsLimit"], host["NanoCpus"]) == (16 << 20, 7, 500_000_000)


def test_they_hold(apart):
    apart.ok("run", "-d", "--name", "c1", "-m", "256m", "base", "sleep", "1000")
    apart.ok("update", "-m", "16m", "c1")
    grow = "a=x; while :; do a=$a$a; done"
    assert apart("exec", "c1", "sh", "-c", grow).code == 137


def test_one_that_does_not_run_is_held_at_its_next_start(apart):
    apart.ok("create", "--name", "c1", "base", "sleep", "1000")
    apart.ok("update", "--memory", "48m", "c1")
    apart.ok("start", "c1")
    assert memory(apart, "c1") == str(48 << 20)


def test_what_cannot_be_is_refused_and_changes_nothing(apart):
    apart.ok("run", "-d", "--name", "c1", "base", "sleep", "1000")
    assert_complaint(apart("update", "-m", "64m", "c1"), "without limits", "start it again")
    assert_complaint(apart("update", "-m", "1m", "c1"), "6m at least")
    assert_complaint(apart("update", "c1"), "nothing is to be changed")
    assert_complaint(apart("update", "-m", "64m", "c2"), "no such container: c2")
    assert told(apart, "inspect", "c1")[0]["HostConfig"]["Memory"] == 0
    apart.ok("run", "-d", "--name", "c3", "-m", "32m", "base", "sleep", "1000")
    assert_complaint(apart("update", "--cpuset-cpus", "0", "c3"), "while the container runs")
