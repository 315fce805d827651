"""Can the kernel execute the command? Asked of the image before anything is started.

The runtimes find out too, but say it in their own words on the container's standard error. What
cannot be judged from here (a volume brings the program, binfmt_misc may know its format) is let
through.
"""

import errno
import os
import stat
from typing import NamedTuple

from lamina.errors import CommandNotExecutable, CommandNotFound, LaminaError, UsageError
from lamina.fs.tree import TreeView
from lamina.runtime import elf
from lamina.runtime.process import DEFAULT_PATH, Process, variable

_HEAD = 4096  # bytes; the kernel looks at 256, an ELF file's program headers follow its header
# e_machine (elf.h) of what each machine executes, its 32-bit sibling included
_NATIVE = {"x86_64": (62, 3), "aarch64": (183, 40)}
# and what a platform calls each, by e_machine and whether its numbers are little-endian
_NAMES = {
    (8, True): "mipsle", (8, False): "mips", (21, True): "ppc64le", (21, False): "ppc64",
    (3, True): "386", (22, False): "s390x", (40, True): "arm", (62, True): "amd64",
    (183, True): "arm64", (243, True): "riscv64", (258, True): "loong64",
}  # fmt: skip
_EMULATOR = "install an emulator (Debian: apt-get install qemu-user-static)"


class _Search(NamedTuple):
    tree: TreeView
    subject: str
    hidden: tuple[bytes, ...]


def check_program(tree: TreeView, process: Process, hidden: tuple[bytes, ...]) -> None:
    """Raise `CommandNotFound` or `CommandNotExecutable` if `tree` has no such program.

    `hidden` are the paths that mounts will cover: nothing below them is judged.
    """
    if not process.args or not process.args[0]:
        raise UsageError("no command specified", hint="name one after the image")
    search = _Search(tree, f"cannot run {process.args[0]!r}", hidden)
    refusal: LaminaError | None = None
    for candidate in _candidates(process):
        try:
            where = tree.resolve(candidate, follow_last=True)
            status = tree.lstat(where)
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                raise  # that tells nothing of the image
            refusal = refusal or CommandNotExecutable(f"{search.subject}: {error.strerror}")
            continue
        if _is_below(where, hidden):
            return
        if status is None:
            continue
        words = _unfit(status)
        if not words:
            _check_format(search, where)
            return
        refusal = refusal or CommandNotExecutable(f"{search.subject}: {words}")
    raise refusal or _not_found(search, process)


def _candidates(process: Process) -> list[bytes]:
    command = os.fsencode(process.args[0])
    cwd = os.fsencode(process.cwd)
    if b"/" in command:
        return [os.path.join(cwd, command)]
    folders = os.fsencode(variable(process, "PATH", DEFAULT_PATH)).split(b":")
    return [os.path.join(cwd, folder, command) for folder in folders if folder]


def _is_below(path: bytes, folders: tuple[bytes, ...]) -> bool:
    return any(path == folder or path.startswith(folder + b"/") for folder in folders)


def _unfit(status: os.stat_result) -> str:
    if stat.S_ISDIR(status.st_mode):
        return "is a directory"
    if not stat.S_ISREG(status.st_mode) or not status.st_mode & 0o111:
        return "permission denied: it is no executable file"
    return ""


def _not_found(search: _Search, process: Process) -> CommandNotFound:
    if "/" in process.args[0]:
        return CommandNotFound(
            f"{search.subject}: no such file or directory", hint="the image has no such program"
        )
    path = variable(process, "PATH", DEFAULT_PATH)
    return CommandNotFound(
        f"{search.subject}: executable file not found in $PATH",
        hint=f"the image has no such program in {path}",
    )


def _check_format(search: _Search, where: bytes) -> None:
    head = _head(search.tree, where)
    if head.startswith(b"#!"):
        words = head[2:256].partition(b"\n")[0].split()
        _check_helper(search, words[0] if words else b"", "interpreter")
    elif head.startswith(elf.MAGIC):
        _check_machine(search, head, where)
        _check_helper(search, elf.loader(head), "dynamic loader")
    elif _is_unknown(head, where):
        raise CommandNotExecutable(
            f"{search.subject}: exec format error: it is no program and has no `#!` line",
            hint="begin the script with `#!/bin/sh`, or give it to its shell by name",
        )


def _head(tree: TreeView, where: bytes) -> bytes:
    descriptor = tree.open(where)
    try:
        return os.pread(descriptor, _HEAD, 0)
    finally:
        os.close(descriptor)


def _check_machine(search: _Search, head: bytes, where: bytes) -> None:
    """Refuse what is for another machine, unless the kernel has an emulator for it."""
    machine, here = elf.machine(head), os.uname().machine
    if machine in _NATIVE.get(here, (machine,)) or not _is_unknown(head, where):
        return
    named = _NAMES.get((machine, elf.is_little(head)))
    its = f"linux/{named}" if named else f"machine number {machine}"
    ours = _platform(here)
    raise CommandNotExecutable(
        f"{search.subject}: exec format error: it is built for {its}, this machine is {ours},"
        " and no emulator for it is registered in binfmt_misc",
        hint=f"{_EMULATOR}, or use an image for {ours}",
    )


def why_unfit(words: str) -> str:
    """A hint for what the kernel says of a program that it cannot execute, if one helps."""
    if "exec format error" not in words.lower():
        return ""
    ours = _platform(os.uname().machine)
    return f"where it is for another machine than {ours}, {_EMULATOR}"


def _platform(machine: str) -> str:
    from lamina.values.platform import Platform  # of what cannot be executed

    return str(Platform.of_machine(machine))


def _check_helper(search: _Search, helper: bytes, what: str) -> None:
    """A missing interpreter or loader shows as ENOENT of the program itself: say which."""
    if not helper.startswith(b"/"):
        return
    try:
        where = search.tree.resolve(helper, follow_last=True)
    except OSError:
        return
    if search.tree.lstat(where) is None and not _is_below(where, search.hidden):
        raise CommandNotFound(
            f"{search.subject}: no such file or directory: its {what}"
            f" {helper.decode('utf-8', 'replace')} is not in the image",
            hint="add it to the image, or build the program statically",
        )


def _is_unknown(head: bytes, where: bytes) -> bool:
    """Whether the kernel surely has no handler for a file that it cannot execute itself."""
    from lamina.runtime.binfmt import knows  # hardly any program is a foreign one

    return knows(head, where) is False
