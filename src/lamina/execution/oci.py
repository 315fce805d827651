"""By an OCI runtime: bundle, private namespace, `crun run` or `runc run`, and what it says."""

import errno
import json
import os
from collections.abc import Callable

from lamina.errors import CommandNotExecutable, CommandNotFound, RuntimeFailure
from lamina.execution.spawned import Exit, Stdio, spawn, wait
from lamina.fs.atomic import write_file
from lamina.fs.mounting import MountPlan, attach, enter_private_namespace
from lamina.fs.mounting import cover as cover_directory
from lamina.kernel.namespaces import bounding_capabilities
from lamina.runtime import bundle
from lamina.runtime.isolation import Isolation, find_program
from lamina.runtime.process import Process
from lamina.runtime.users import Credentials

Work = Callable[[Callable[[int], None]], Exit]


def work(
    plan: MountPlan,
    process: Process,
    credentials: Credentials,
    files: list[tuple[str, str]],
    folder: str,
    stdio: Stdio,
    isolation: Isolation,
) -> Work:
    """What the private thread does: mount, start, tell the process's ID, wait."""

    def run(started: Callable[[int], None]) -> Exit:
        enter_private_namespace()
        root = os.path.join(folder, "rootfs")
        attach(plan, root)
        if isolation.cover:
            cover_directory(isolation.cover)
        document = bundle.config(
            process, credentials, root=root, bounding=bounding_capabilities(), files=tuple(files)
        )
        write_file(os.path.join(folder, "config.json"), document, mode=0o600)
        log = os.path.join(folder, "log")
        pid = spawn(_command(isolation, folder, log), stdio)
        started(pid)
        result = wait(pid)
        if result.code:
            _raise_failure(log, process)
        return result

    return run


def _command(isolation: Isolation, folder: str, log: str) -> list[str]:
    name = os.path.basename(folder)
    options = ["--root", os.path.join(os.path.dirname(folder), isolation.name), "--log", log]
    if isolation.name == "crun":
        options += ["--log-format", "json", "--cgroup-manager=disabled"]
    else:
        options += ["--log-format", "json"]
    jail = _jail() if isolation.name == "crun" else []
    return [*jail, isolation.program, *options, "run", "--bundle", folder, name]


def _jail() -> list[str]:
    """Put the runtime into a process namespace that dies with it.

    A killed runtime leaves its container running; the kernel ends a whole process namespace
    when its first process dies, and `--kill-child` ties that one to us. runc cannot clean up
    its cgroups from within one, so what it runs outlives a killed engine.
    """
    program = find_program("unshare")
    if program is None:
        return []
    return [program, "--pid", "--fork", "--kill-child=KILL", "--mount-proc", "--"]


def _raise_failure(log: str, process: Process) -> None:
    """Raise for what the runtime wrote to its log; a command's own failure leaves it empty."""
    message = _last_error(log)
    if not message:
        return
    command = process.args[0]
    words = message.lower()
    if "not found" in words or "no such file" in words and _about_exec(words):
        raise CommandNotFound(f"cannot run {command!r}: {message}")
    if _about_exec(words) and any(each in words for each in _NOT_EXECUTABLE):
        raise CommandNotExecutable(f"cannot run {command!r}: {message}")
    raise RuntimeFailure(f"cannot start the container: {message}")


_NOT_EXECUTABLE = (
    os.strerror(errno.EACCES).lower(),
    os.strerror(errno.ENOEXEC).lower(),
    os.strerror(errno.EISDIR).lower(),
)


def _about_exec(words: str) -> bool:
    return "exec" in words or "open executable" in words


def _last_error(log: str) -> str:
    try:
        with open(log, encoding="utf-8", errors="replace") as file:
            lines = file.read(1 << 16).splitlines()
    except FileNotFoundError:
        return ""
    for line in reversed(lines):
        try:
            record = json.loads(line)
        except ValueError:
            return line.strip()
        if record.get("level", "error") in ("error", "fatal"):
            return str(record.get("msg", "")).strip()
    return ""
