"""The mount that fuse-overlayfs serves, and the process that lives as long as it."""

import os
import signal
import subprocess
import sys

import pytest

from lamina.drivers.fuse_overlayfs import FuseOverlayDriver, probe
from lamina.drivers.fuse_overlayfs import program as finding
from lamina.drivers.fuse_overlayfs.driver import united
from lamina.errors import LaminaError, ProgramMissing
from lamina.fs.mounting import MountPlan, attach, in_private_namespace, open_detached
from lamina.testing.driver_bench import Bench


@pytest.fixture
def bench(site):
    driver = FuseOverlayDriver(os.path.join(site("fuse-overlayfs"), "fuse-overlayfs"))
    return Bench(driver, f"{driver.home}.scratch")


def servers(of):
    """The processes that serve a mount of what lies in a folder."""
    found = []
    for name in os.listdir("/proc"):
        try:
            with open(f"/proc/{name}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
        except OSError:
            continue
        if words[0].endswith(b"fuse-overlayfs") and any(os.fsencode(of) in word for word in words):
            found.append(int(name))
    return found


def await_end(processes):
    """Wait, by descriptor, until processes are gone; a hang is the test's failure."""
    import select

    for process in processes:
        try:
            handle = os.pidfd_open(process)
        except ProcessLookupError:
            continue
        poller = select.poll()
        poller.register(handle, select.POLLIN)
        poller.poll()
        os.close(handle)


def test_the_server_ends_with_the_last_descriptor(bench):
    layer = bench.writable(bench.layer("f a 1"))
    mounted = open_detached(bench.driver.mounts(layer, writable=True))
    running = servers(bench.driver.home)
    assert len(running) == 1
    assert os.listdir(mounted) == ["a"]
    os.close(mounted)
    await_end(running)
    assert servers(bench.driver.home) == []


def test_the_server_ends_with_the_namespace_and_is_in_no_mount_table(bench):
    layer = bench.writable(bench.layer("f a 1"))
    plan = bench.driver.mounts(layer, writable=True)
    running = []

    def inside():
        attach(plan, bench.target)
        running.extend(servers(bench.driver.home))
        own = os.readlink("/proc/self/ns/mnt")
        assert [os.readlink(f"/proc/{each}/ns/mnt") for each in running] == [own]
        with open("/proc/self/mountinfo") as table:
            assert bench.target not in table.read()

    in_private_namespace(inside)
    assert len(running) == 1
    await_end(running)


def test_the_server_ends_when_its_user_is_killed(bench):
    layer = bench.writable(bench.layer("f a 1"))
    script = """
import os, sys
from lamina.drivers.fuse_overlayfs import FuseOverlayDriver
from lamina.fs.mounting import open_detached
mounted = open_detached(FuseOverlayDriver(sys.argv[1]).mounts(sys.argv[2], writable=True))
print(os.listdir(mounted), flush=True)
sys.stdin.read()
"""
    child = subprocess.Popen(
        [sys.executable, "-c", script, bench.driver.home, layer],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
    )
    with child:
        assert child.stdout.readline() == b"['a']\n"
        running = servers(bench.driver.home)
        child.kill()
    assert running
    await_end(running)


def test_a_killed_server_is_an_error_and_no_hang(bench):
    layer = bench.writable(bench.layer("f a 1"))
    mounted = open_detached(bench.driver.mounts(layer, writable=True))
    try:
        running = servers(bench.driver.home)
        for each in running:
            os.kill(each, signal.SIGKILL)
        await_end(running)
        with pytest.raises(OSError, match="not connected"):
            os.listdir(mounted)
    finally:
        os.close(mounted)


def test_what_is_written_is_in_the_upper_directory_at_once(bench):
    layer = bench.writable(bench.layer("f a 1"))
    mounted = open_detached(bench.driver.mounts(layer, writable=True))
    try:
        written = os.open("new", os.O_CREAT | os.O_WRONLY, dir_fd=mounted)
        os.write(written, b"12345")
        upper = bench.driver.writable_root(layer)
        with open(f"{upper}/new", "rb") as file:
            assert file.read() == b"12345"
        os.close(written)
    finally:
        os.close(mounted)


@pytest.mark.parametrize("mark", [":", ",", "\\"])
def test_a_path_that_the_program_would_split_is_refused(site, mark):
    home = os.path.join(site("fuse-overlayfs"), f"a{mark}b")
    os.mkdir(home)
    found = probe(home)
    assert not found.works
    assert "no path with a colon, a comma or a backslash" in found.reason
    assert os.listdir(home) == []


def test_marks_of_a_layer_made_without_the_right_to_make_devices_are_understood(bench):
    """What fuse-overlayfs writes then: `.wh.NAME`, and an attribute of its own."""
    base = bench.layer("f gone 1\nd d\nf d/old 1\nd o\nf o/old 1")
    layer = bench.writable(base)
    upper = bench.driver.writable_root(layer)
    for name in (".wh.gone", "d/.wh.old", "o/.wh..wh..opq"):
        os.makedirs(os.path.dirname(f"{upper}/{name}"), exist_ok=True)
        with open(f"{upper}/{name}", "w"):
            pass
    os.setxattr(f"{upper}/d", "user.fuseoverlayfs.origin", b"d")
    assert bench.changes(layer, base) == ["C /d", "D /d/old", "D /gone", "C /o", "D /o/old"]
    view = bench.driver.view(layer)
    assert (view.listdir(b""), view.listdir(b"d"), view.lstat(b"gone")) == ([b"d", b"o"], [], None)
    assert view.lstat(b"o/old") is None
    assert view.xattrs(b"d") == ()
    view.close()
    assert bench.tree(layer) == ["d d 755 0:0", "d o 755 0:0"]


def test_no_name_in_a_container_can_be_a_mark(bench):
    layer = bench.writable(bench.layer("f a 1"))

    def fake(root):
        for name in (".wh.a", ".wh..wh..opq"):
            with pytest.raises(OSError, match="Invalid argument"):
                open(f"{root}/{name}", "w")

    bench.inside(layer, fake, writable=True)


def test_a_missing_program_names_its_package(bench, monkeypatch):
    layer = bench.writable(bench.layer("f a 1"))
    monkeypatch.setattr(finding, "PATH", "/nowhere")
    with pytest.raises(ProgramMissing) as raised:
        bench.driver.mounts(layer, writable=True)
    assert "install the package fuse-overlayfs" in raised.value.hint
    found = probe(bench.driver.home)
    assert not found.works
    assert "install the package fuse-overlayfs" in found.reason


@pytest.mark.parametrize(("says", "about"), [("0.7.6", "is 0.7, 1.0 is"), ("", "unknown version")])
def test_an_old_program_is_refused(bench, tmp_path, monkeypatch, says, about):
    program = tmp_path / "fuse-overlayfs"
    program.write_text(f"#!/bin/sh\necho 'fuse-overlayfs: version {says}'\n")
    program.chmod(0o755)
    monkeypatch.setattr(finding, "PATH", str(tmp_path))
    found = probe(bench.driver.home)
    assert not found.works
    assert about in found.reason


def test_what_the_program_cannot_unite_is_said_in_its_words(bench, tmp_path):
    missing = str(tmp_path / "missing")
    plan = MountPlan(united(finding.find(), (missing, missing), None, None))
    with pytest.raises(LaminaError, match="No such file"):
        open_detached(plan)
