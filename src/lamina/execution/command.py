"""Is the command there? Asked before the start, so that the answer is one clear sentence.

The runtimes say it too, but on the container's own standard error. Where volumes may bring the
command in, the question is left to them.
"""

import stat

from lamina.errors import CommandNotExecutable, CommandNotFound
from lamina.fs.tree import TreeView
from lamina.runtime.process import DEFAULT_PATH, Process


def check_command(tree: TreeView, process: Process) -> None:
    """Raise `CommandNotFound` or `CommandNotExecutable` when the image has no such command."""
    if process.volumes:
        return
    command = process.args[0]
    found = False
    for path in _candidates(command, process):
        try:
            status = tree.lstat(tree.resolve(path, follow_last=True))
        except OSError:
            continue
        if status is None:
            continue
        if stat.S_ISREG(status.st_mode) and status.st_mode & 0o111:
            return
        found = True
    if found:
        raise CommandNotExecutable(
            f"cannot run {command!r}: Permission denied", hint="it is not an executable file"
        )
    raise CommandNotFound(f"cannot run {command!r}: executable file not found in the image")


def _candidates(command: str, process: Process) -> list[bytes]:
    name = command.encode("utf-8", "surrogateescape")
    if command.startswith("/"):
        return [name.strip(b"/")]
    if "/" in command:
        return [process.cwd.encode("utf-8", "surrogateescape").strip(b"/") + b"/" + name]
    return [
        folder.encode("utf-8", "surrogateescape").strip(b"/") + b"/" + name
        for folder in _search_path(process).split(":")
        if folder
    ]


def _search_path(process: Process) -> str:
    for item in reversed(process.env):
        if item.startswith("PATH="):
            return item[5:]
    return DEFAULT_PATH
