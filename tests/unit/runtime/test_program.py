"""Whether the kernel could execute a command, asked of the tree alone."""

import contextlib
import os
import shutil
import struct
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.errors import CommandNotExecutable, CommandNotFound, LaminaError, UsageError
from lamina.fs.tree import FlatTree
from lamina.runtime import binfmt, elf
from lamina.runtime.process import Process
from lamina.runtime.program import check_program


@pytest.fixture
def root(tmp_path):
    for name in ("bin", "usr/bin", "opt"):
        (tmp_path / name).mkdir(parents=True)
    return tmp_path


def put(root, name: str, data: bytes, mode: int = 0o755) -> None:
    (root / name).write_bytes(data)
    (root / name).chmod(mode)


def check(root, *args: str, hidden: tuple[bytes, ...] = (), **more: object) -> None:
    view = FlatTree(os.open(root, os.O_RDONLY | os.O_DIRECTORY))
    try:
        check_program(view, Process(args, **more), hidden)  # type: ignore[arg-type]
    finally:
        view.close()


def _elf(machine: int = 0, loader: bytes = b"") -> bytes:
    """A 64-bit little-endian header with one program header."""
    here = {"x86_64": 62, "aarch64": 183}.get(os.uname().machine, 62)
    head = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHI", 2, machine or here, 1)
    head += struct.pack("<QQQIHHHHHH", 0, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    kind = 3 if loader else 1
    return head + struct.pack("<IIQQQQQQ", kind, 4, 120, 0, 0, len(loader), 0, 1) + loader


def test_found_in_the_path_in_order(root):
    put(root, "usr/bin/tool", _elf())
    put(root, "bin/tool", b"text", 0o644)
    check(root, "tool", env=("PATH=/bin:/usr/bin",))
    with pytest.raises(CommandNotExecutable, match="permission denied"):
        check(root, "tool", env=("PATH=/bin",))
    with pytest.raises(CommandNotFound, match=r"not found in \$PATH.*/opt"):
        check(root, "tool", env=("PATH=/opt",))


def test_relative_to_the_working_directory(root):
    put(root, "opt/tool", _elf())
    check(root, "./tool", cwd="/opt")
    check(root, "opt/tool", cwd="/")
    with pytest.raises(CommandNotFound):
        check(root, "./tool", cwd="/bin")


def test_through_links_inside_the_root(root):
    put(root, "opt/real", _elf())
    os.symlink("/../../opt/real", root / "bin/tool")
    check(root, "tool")


def test_a_loop_of_links(root):
    os.symlink("loop", root / "bin/loop")
    with pytest.raises(CommandNotExecutable, match="Too many levels"):
        check(root, "/bin/loop")


def test_what_a_mount_covers_is_not_judged(root):
    check(root, "/opt/tools/any", hidden=(b"opt/tools",))
    check(root, "/proc/self/exe", hidden=(b"proc",))
    with pytest.raises(CommandNotFound):
        check(root, "/opt/toolsX", hidden=(b"opt/tools",))


@pytest.mark.parametrize("loader", [b"/lib64/ld-linux.so.2\0", b"/lib/ld-musl.so\0"])
def test_a_missing_loader_is_named(root, loader):
    put(root, "bin/tool", _elf(loader=loader))
    with pytest.raises(CommandNotFound, match=f"dynamic loader {loader[:-1].decode()}"):
        check(root, "tool")
    put(root, "bin/static", _elf())
    check(root, "static")


# What the kernel says of a handler (fs/binfmt_misc.c): qemu's for arm64, and two others.
QEMU = """\
enabled
interpreter /usr/bin/qemu-aarch64-static
flags: OCF
offset 0
magic 7f454c460201010000000000000000000200b700
mask ffffffffffffff00fffffffffffffffffeffffff
"""
WINE = "enabled\ninterpreter /usr/bin/wine\nflags: \nextension .exe\n"
LATE = "enabled\ninterpreter /x\nflags: \noffset 18\nmagic b700\n"


@pytest.fixture
def handlers(tmp_path, monkeypatch):
    """A function that says which handlers there are: as files like the kernel's own."""
    place = tmp_path / "binfmt_misc"
    monkeypatch.setattr(binfmt, "_PLACE", str(place))

    def put_there(*texts: str, status: str = "enabled\n") -> None:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        for name, text in zip(("status", "a", "b"), (status, *texts), strict=False):
            (place / name).write_text(text)

    return put_there


def test_another_machines_program(root, handlers):
    put(root, "bin/tool", _elf(machine=183))
    said = (
        "cannot run 'tool': exec format error: it is built for linux/arm64, this machine is "
        "linux/[a-z0-9]+, and no emulator for it is registered in binfmt_misc; install an emulator "
    )
    for texts, status in (
        ((), "enabled\n"),
        ((WINE,), "enabled\n"),
        ((QEMU.replace("enabled", "disabled"),), "enabled\n"),
        ((QEMU,), "disabled\n"),
        (("",), "enabled\n"),
    ):
        handlers(*texts, status=status)
        with pytest.raises(CommandNotExecutable, match=said):
            check(root, "tool")
    for texts in ((QEMU,), (WINE, QEMU), (LATE,)):
        handlers(*texts)
        check(root, "tool")
    put(root, "bin/tool", _elf(machine=22))
    with pytest.raises(CommandNotExecutable, match="machine number 22, this"):
        check(root, "tool")


def test_a_kernel_without_foreign_formats(root, handlers):
    put(root, "bin/tool", _elf(machine=183))
    with pytest.raises(CommandNotExecutable, match="no emulator"):
        check(root, "tool")


def test_a_program_that_is_known_by_its_name(root, handlers):
    handlers(WINE)
    put(root, "bin/tool.exe", b"MZ")
    check(root, "tool.exe")
    put(root, "bin/tool.com", b"MZ")
    with pytest.raises(CommandNotExecutable, match="it is no program"):
        check(root, "tool.com")


@given(st.text(), st.binary(max_size=64))
def test_whatever_is_said_of_a_handler_is_read(said, head):
    with contextlib.suppress(ValueError):
        binfmt._takes(said, head, b"x")


@pytest.mark.usefixtures("needs_root", "needs_mounts")
def test_the_kernels_own_handlers_can_be_looked_at():
    before = [os.path.ismount(binfmt._PLACE), os.listdir("/proc/sys/fs")]
    assert binfmt.knows(_elf(machine=183), b"bin/sh") in (True, False)
    assert [os.path.ismount(binfmt._PLACE), os.listdir("/proc/sys/fs")] == before


def test_a_script_without_its_first_line(root, handlers):
    handlers()
    for data in (b"echo hello\n", b""):
        put(root, "bin/tool", data)
        with pytest.raises(CommandNotExecutable, match="exec format error"):
            check(root, "tool")


def test_a_script(root):
    put(root, "bin/sh", _elf())
    put(root, "bin/tool", b"#! /bin/sh -e\n")
    check(root, "tool")
    put(root, "bin/tool", b"#!/bin/bash\n")
    with pytest.raises(CommandNotFound, match="interpreter /bin/bash"):
        check(root, "tool")


def test_no_command():
    for args in ((), ("",)):
        with pytest.raises(UsageError, match="no command"):
            check("/", *args)


def test_the_hosts_own_programs_pass():
    for name in ("sh", "cat", "env"):
        check("/", name)
    check("/", os.path.realpath(sys.executable))
    check("/", shutil.which("busybox") or "sh")


@given(st.binary(max_size=300))
def test_no_header_breaks_the_reader(tail):
    for head in (elf.MAGIC + tail, elf.MAGIC + b"\x02\x01" + tail, elf.MAGIC + b"\x01\x02" + tail):
        assert elf.machine(head) >= 0
        assert len(elf.loader(head)) <= 256


@given(st.binary(max_size=200))
def test_no_file_breaks_the_check(tmp_path_factory, data):
    root = tmp_path_factory.mktemp("root")
    put(root, "tool", data)
    with contextlib.suppress(LaminaError):
        check(root, "/tool")
