"""The same flags given to podman and to Lamina: what the container's own process sees is the same."""

import json
import os
import subprocess
import sys
import tempfile

import pytest

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")

# `nofile` and `nproc`: podman's own limits are higher than a machine without CAP_SYS_RESOURCE may set
_PODMAN = """\
[containers]
default_ulimits=["nofile=1024:1024","nproc=1000:1000"]
netns="host"
[engine]
runtime="runc"
cgroup_manager="cgroupfs"
events_logger="file"
"""


class Pair:
    """One image in a store of podman's and in one of Lamina's."""

    def __init__(self, folder, podman, archive):
        self.folder = folder
        with open(f"{folder}/containers.conf", "w") as file:
            file.write(_PODMAN)
        root = ["--root", f"{folder}/podman", "--runroot", f"{folder}/podman.run"]
        self._podman = [podman, *root]
        ours = ["--root", f"{folder}/lamina", "--run-root", f"{folder}/run"]
        self._lamina = [sys.executable, "-m", "lamina", *ours]
        self.env = {**os.environ, "CONTAINERS_CONF": f"{folder}/containers.conf"}
        for command in (self._podman, self._lamina):
            self.ok(*command, "import", archive, "base")

    def ok(self, *words):
        done = subprocess.run(words, capture_output=True, text=True, env=self.env, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def both(self, *words, isolation="runc"):
        """What podman's container and ours say to the same words."""
        self.env["LAMINA_ISOLATION"] = isolation
        pair = (self._podman, self._lamina)
        return [self.ok(*command, "run", "--rm", *words) for command in pair]

    def inspected(self, *flags):
        found = []
        for command in (self._podman, self._lamina):
            name = self.ok(*command, "create", *flags, "base", "true").split()[-1]
            shown = self.ok(*command, "inspect", "--type", "container", name)
            found.append(json.loads(shown)[0]["HostConfig"])
        return found


@pytest.fixture(scope="module")
def pair(needs_program, busybox_tar):
    with tempfile.TemporaryDirectory(prefix="pair") as folder:  # podman takes no long paths
        yield Pair(folder, needs_program("podman"), busybox_tar)
        if os.path.ismount(f"{folder}/podman/overlay"):  # it mounts that over itself and leaves it
            subprocess.run(["umount", f"{folder}/podman/overlay"], check=True)


@pytest.mark.parametrize("isolation", ["crun", "runc"])
@pytest.mark.parametrize(
    "flags",
    [
        ("--cap-drop", "ALL"),
        ("--cap-drop", "chown", "--cap-add", "CAP_NET_ADMIN"),
        ("--cap-drop", "ALL", "--cap-add", "net_raw", "--user", "bob"),
        ("--security-opt", "no-new-privileges"),
    ],
)
def test_rights(pair, flags, isolation):
    theirs, ours = pair.both(*flags, "base", "cat", "/proc/self/status", isolation=isolation)
    rows = ("CapBnd", "NoNewPrivs", "Uid", "Gid")
    assert picked(ours, rows) == picked(theirs, rows)


def picked(text, rows):
    return [line for line in text.splitlines() if line.startswith(rows)]


@pytest.mark.parametrize("isolation", ["crun", "runc"])
def test_groups(pair, isolation):
    flags = ("--group-add", "wheel", "--group-add", "7")
    theirs, ours = pair.both(*flags, "base", "id", "-G", isolation=isolation)
    assert sorted(ours.split()) == sorted(theirs.split())


@pytest.mark.parametrize("isolation", ["crun", "runc"])
def test_mounts_of_a_read_only_container(pair, isolation):
    flags = ("--read-only", "--shm-size", "3m", "--tmpfs", "/tmp:size=1m")
    theirs, ours = pair.both(*flags, "base", "cat", "/proc/mounts", isolation=isolation)
    for place, words in (
        ("/", {"ro"}),
        ("/dev/shm", {"rw", "size=3072k"}),
        ("/tmp", {"size=1024k"}),
    ):
        assert options(ours, place) >= words
        assert options(theirs, place) >= words


def options(mounts, place):
    rows = [line.split() for line in mounts.splitlines()]
    return set(next(row[3] for row in reversed(rows) if row[1] == place).split(","))


def test_the_hosts_names_and_shared_memory(pair):
    script = "hostname; readlink /proc/self/ns/ipc; readlink /proc/self/ns/uts"
    flags = ("--uts", "host", "--ipc", "host")
    theirs, ours = pair.both(*flags, "base", "sh", "-c", script)
    assert ours == theirs


@pytest.mark.parametrize("isolation", ["crun", "runc"])
def test_limits(pair, isolation):
    flags = ("-m", "32m", "--pids-limit", "50", "--cpus", "0.5", "--cpuset-cpus", "0", "-c", "512")
    files = (
        *("memory/memory.limit_in_bytes", "memory/memory.memsw.limit_in_bytes", "pids/pids.max"),
        *("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us", "cpu/cpu.shares", "cpuset/cpuset.cpus"),
    )
    if not os.path.exists(f"/sys/fs/cgroup/{files[0]}"):
        pytest.skip("names of version 1")
    command = ("cat", *(f"/sys/fs/cgroup/{file}" for file in files))
    theirs, ours = pair.both(*flags, "base", *command, isolation=isolation)
    assert ours == theirs


def test_names(pair):
    flags = ("--add-host", "db:10.0.0.5", "--dns", "1.1.1.1", "--dns-search", "a.b")
    theirs, ours = pair.both(*flags, "base", "cat", "/etc/hosts", "/etc/resolv.conf")
    for line in ("10.0.0.5\tdb", "nameserver 1.1.1.1", "search a.b"):
        assert line in ours.splitlines()
        assert line in theirs.splitlines()
    assert ours.count("nameserver") == theirs.count("nameserver")


def test_a_volume_is_filled_as_podman_fills_it(pair):
    script = "cp /etc/passwd /etc/mine; ls /etc; stat -c '%a %u %g' /etc"
    flags = ("-v", "filled:/etc", "--mount", "type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=700")
    theirs, ours = pair.both(*flags, "base", "sh", "-c", script)
    made = {"hosts", "resolv.conf", "hostname", "mtab"}  # mount points within, podman's and ours
    assert set(ours.split()) - made == set(theirs.split()) - made


def test_what_inspect_tells(pair):
    flags = ("--read-only", "--cap-drop", "CHOWN", "--shm-size", "1g")
    theirs, ours = pair.inspected(*flags)
    for key in ("ReadonlyRootfs", "CapDrop", "ShmSize"):
        assert ours[key] == theirs[key], key
