"""By a chroot alone, where no OCI runtime can be used.

Where mounting is allowed the root is attached with /proc, /dev and /sys in a private namespace;
where it is not, the directory itself is the root, the host files are copied in for the time of
the run, and what was there before is put back.
"""

import json
import os
import sys
from collections.abc import Callable
from typing import NamedTuple

from lamina.errors import CommandNotExecutable, CommandNotFound, RuntimeFailure
from lamina.execution.oci import Work
from lamina.execution.spawned import Exit, Stdio, spawn, wait
from lamina.fs.atomic import write_all
from lamina.fs.inroot import Root
from lamina.fs.mounting import Bind, MountPlan, attach, bind, enter_private_namespace
from lamina.runtime.process import Process, environment
from lamina.runtime.users import Credentials

_KINDS = {126: CommandNotExecutable, 127: CommandNotFound}
_FILE_LIMIT = 1 << 20


def work(
    plan: MountPlan,
    process: Process,
    credentials: Credentials,
    files: list[tuple[str, str]],
    folder: str,
    stdio: Stdio,
    may_mount: bool,
) -> Work:
    """What the private thread does; raises `RuntimeFailure` for what a chroot cannot do."""
    if process.network == "none":
        raise RuntimeFailure(
            "the chroot isolation cannot take the network away",
            hint="use --network host, or run where crun or runc can be used",
        )
    if process.volumes and not may_mount:
        raise RuntimeFailure("volumes need the right to mount", hint="leave out --volume")
    if process.tty:
        raise RuntimeFailure("the chroot isolation has no terminal", hint="leave out --tty")

    def run(started: Callable[[int], None]) -> Exit:
        if may_mount:
            root = _mounted(plan, process, files, folder)
            return _run(root, process, credentials, stdio, started)
        if not isinstance(plan.root, Bind):
            raise RuntimeFailure("mounting is not allowed here", hint="use the vfs driver")
        with _Loan(plan.root.source, files):
            return _run(plan.root.source, process, credentials, stdio, started)

    return run


def _mounted(
    plan: MountPlan, process: Process, files: list[tuple[str, str]], folder: str
) -> str:
    enter_private_namespace()
    root = os.path.join(folder, "rootfs")
    attach(plan, root)
    with Root.at(root) as inside:
        for source in ("/proc", "/sys", "/dev"):
            inside.makedirs(source.encode())
            bind(source, inside, source.encode(), recursive=True)
        for source, target in files:
            _touch(inside, os.fsencode(target))
            bind(source, inside, os.fsencode(target))
        for volume in process.volumes:
            if os.path.isdir(volume.source):
                inside.makedirs(os.fsencode(volume.target))
            else:
                _touch(inside, os.fsencode(volume.target))
            bind(volume.source, inside, os.fsencode(volume.target), readonly=volume.readonly)
    return root


def _touch(root: Root, path: bytes) -> None:
    root.makedirs(path.rpartition(b"/")[0])
    os.close(root.open(path, os.O_CREAT | os.O_WRONLY, 0o644))


class _Before(NamedTuple):
    path: bytes
    content: bytes | None
    status: os.stat_result | None


class _Loan:
    """Host files inside a plain directory, for as long as the block lasts."""

    def __init__(self, root: str, files: list[tuple[str, str]]) -> None:
        self._root = Root.at(root)
        self._files = files
        self._before: list[_Before] = []

    def __enter__(self) -> None:
        for source, target in self._files:
            self._lend(source, os.fsencode(target))

    def _lend(self, source: str, path: bytes) -> None:
        try:
            content: bytes | None = self._root.open_file(path, _FILE_LIMIT)
            status = self._root.lstat(path)
        except FileNotFoundError:
            content = status = None
        except OSError:
            return  # no regular file: leave the image's own
        self._before.append(_Before(path, content, status))
        self._root.makedirs(path.rpartition(b"/")[0])
        with open(source, "rb") as file:
            self._write(path, file.read(_FILE_LIMIT))

    def _write(self, path: bytes, data: bytes) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        descriptor = self._root.open(path, flags, 0o644)
        try:
            write_all(descriptor, data)
        finally:
            os.close(descriptor)

    def __exit__(self, *_error: object) -> None:
        for before in self._before:
            try:
                self._give_back(before)
            except FileNotFoundError:
                continue  # the command removed it: that is its change
        self._root.close()

    def _give_back(self, before: _Before) -> None:
        if before.content is None or before.status is None:
            self._write(before.path, b"")  # empty, so that the sweep takes it away
            return
        self._write(before.path, before.content)
        descriptor = self._root.open(before.path, os.O_RDONLY)
        try:
            times = (before.status.st_atime_ns, before.status.st_mtime_ns)
            os.utime(descriptor, ns=times)
        finally:
            os.close(descriptor)


def _run(
    root: str,
    process: Process,
    credentials: Credentials,
    stdio: Stdio,
    started: Callable[[int], None],
) -> Exit:
    request = json.dumps(
        {
            "root": root,
            "cwd": process.cwd,
            "args": process.args,
            "env": environment(process, credentials.home),
            "uid": credentials.uid,
            "gid": credentials.gid,
            "groups": credentials.groups,
        }
    ).encode()
    asking, telling = os.pipe()
    listening, reporting = os.pipe()
    try:
        extra = ((asking, 3), (reporting, 4))
        program = [os.path.realpath(sys.executable), "-I", "-S", _helper()]
        pid = spawn(program, stdio, extra=extra)
        os.close(reporting)
        reporting = -1
        write_all(telling, len(request).to_bytes(8, "big") + request)
        started(pid)
        said = _read_all(listening)
        result = wait(pid)
    finally:
        for descriptor in (asking, telling, listening, reporting):
            if descriptor >= 0:
                os.close(descriptor)
    if said:
        code, _, words = said.partition(" ")
        raise _KINDS.get(int(code), RuntimeFailure)(f"cannot run {process.args[0]!r}: {words}")
    return result


def _helper() -> str:
    from lamina.kernel import chroot_init

    return chroot_init.__file__


def _read_all(descriptor: int) -> str:
    data = b""
    while more := os.read(descriptor, 4096):
        data += more
    return data.decode("utf-8", "replace")
