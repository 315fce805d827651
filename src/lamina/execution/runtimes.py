"""An OCI runtime from the outside: its command line, what this machine lets it give, its words."""

import json
import os
import resource
from typing import TYPE_CHECKING

from lamina.errors import CommandNotExecutable, CommandNotFound, RuntimeFailure
from lamina.execution.devices import nodes_of
from lamina.execution.spawned import Stdio
from lamina.fs.processes import oom_score
from lamina.kernel.namespaces import bounding_capabilities, is_mapped, user_namespace
from lamina.runtime import bundle
from lamina.runtime.isolation import Isolation, has_apparmor, needed_program
from lamina.runtime.process import Process
from lamina.runtime.program import why_unfit

if TYPE_CHECKING:  # only what is started in one has it
    from lamina.fs.cgroups import Group

_LOG_LIMIT = 1 << 16  # bytes; a runtime says one or two lines


def host_for(process: Process, group: "Group | None" = None) -> bundle.Host:
    """What this machine lets a process have; `group` is its control group, if it has one."""
    return bundle.Host(
        bounding=bounding_capabilities(),
        core=resource.getrlimit(resource.RLIMIT_CORE)[1],
        devices=_devices(),
        has_tty_group=is_mapped(0, bundle.TTY),
        nodes=nodes_of(process),
        apparmor=has_apparmor(),
        group="" if group is None else group.path,
        counts_swap=group is not None and group.counts_swap,
        is_unified=group is not None and group.is_unified,
        user_namespace=bool(user_namespace()),
    )


def _devices() -> tuple[str, ...]:
    """In a user namespace both runtimes bring them, and runc fails where they are already."""
    if user_namespace():
        return ()
    return tuple(name for name in bundle.DEVICES if os.path.exists(f"/dev/{name}"))


def terminal_size(stdio: Stdio) -> os.terminal_size | None:
    """The size of the terminal that is the standard input, if one is."""
    try:
        return None if stdio.stdin is None else os.get_terminal_size(stdio.stdin)
    except OSError:
        return None


def runtime(
    isolation: Isolation, state: str, log: str, *, in_group: bool, score: int = 0
) -> list[str]:
    """The runtime with its options, for any of its verbs; `score` is what it hands on itself.

    In a mount namespace whose /proc shows the process namespace that the runtime is in.
    """
    options = ["--root", state, "--log", log, "--log-format", "json"]
    if isolation.name == "crun":
        manager = "cgroupfs" if in_group else "disabled"
        options.append(f"--cgroup-manager={manager}")
    apart = [needed_program("unshare"), "--mount-proc", "--"]
    return [*_with_score(score), *apart, isolation.program, *options]


def _with_score(score: int) -> list[str]:
    """How soon the kernel kills what is started when memory is out, where ours is another.

    Who is spared does not spare its containers. crun sets no score of 0, and none in `exec`.
    """
    own = oom_score()
    if own == score or (own > 0 and not score):
        return []
    script = 'echo "$0" >/proc/self/oom_score_adj; exec "$@"'
    return [needed_program("sh"), "-c", script, str(score)]


def failure(message: str, command: str) -> RuntimeFailure:
    """The error that a runtime's words mean; a command's own failure leaves no words."""
    words = message.lower()
    if any(each in words for each in _ABOUT_COMMAND):
        if any(each in words for each in _MISSING):
            return CommandNotFound(f"cannot run {command!r}: {_no_such(command, words)}")
        for each, plainly in _UNUSABLE.items():
            if each in words:
                brief = f"cannot run {command!r}: {plainly}"
                return CommandNotExecutable(brief, hint=why_unfit(plainly))
    for prefix in _PREFIXES:
        message = message.removeprefix(prefix)
    return RuntimeFailure(f"cannot start the container: {message}")


def _no_such(command: str, words: str) -> str:
    if "/" not in command:
        return "executable file not found in $PATH"
    if words.startswith("exec"):  # the file itself is there, or it would not have got so far
        return "no such file or directory: its interpreter or dynamic loader is missing"
    return "no such file or directory"


_PREFIXES = (
    "runc run failed: ",
    "unable to start container process: ",
    "error during container init: ",
)
_ABOUT_COMMAND = ("executable", "exec:", "exec /", "exec container process")
_MISSING = ("not found", "no such file")
_UNUSABLE = {
    "permission denied": "permission denied",
    "operation not permitted": "permission denied",  # crun's words for a directory
    "exec format error": "exec format error",
    "is a directory": "is a directory",
    "not a directory": "not a directory",
    "argument list too long": "the arguments and the environment are too long",
}


def last_error(log: str) -> str:
    """What the runtime logged last as an error; nothing for a mere warning."""
    try:
        with open(log, encoding="utf-8", errors="replace") as file:
            lines = file.read(_LOG_LIMIT).splitlines()
    except FileNotFoundError:
        return ""
    for line in reversed(lines):
        message = message_of(line.strip())
        if message and not message.startswith("Failed to remove"):  # runc's, after the end
            return message
    return ""


def message_of(line: str) -> str:
    """What a line of a log says; nothing for a mere warning.

    Of what its own children logged crun makes a message as it is, a line of a log in itself.
    """
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):  # the container's own words may come here, too
        return line
    if isinstance(record, dict) and record.get("level", "error") in ("error", "fatal"):
        said = str(record.get("msg", "")).strip()
        return message_of(said) if said.startswith("{") else said
    return ""
