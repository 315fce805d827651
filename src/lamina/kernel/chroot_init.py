"""The first process in a chroot; run as a program of its own (`python -I -S <this file>`).

Imports nothing of Lamina. Reads one JSON document from descriptor 3, enters the root, becomes
the user and executes the command. What goes wrong before that is written to descriptor 4 as
`<exit code> <sentence>`; a command that starts closes it without a word. A small supervisor
stays outside: when the engine dies (descriptor 3's other end closes), it kills the group.

Everything is imported before the root is entered: nothing of the image is ever loaded.

Does not protect against a process that is root inside the chroot: a chroot is no container.
"""

import ctypes
import errno
import json
import os
import resource
import select
import signal
import sys

_REQUEST, _REPORT = 3, 4
_LOCKS, _ABOVE = 5, 7  # locks to hold while anything lives; what is above is none of ours
_PR_SET_PDEATHSIG = 1
_PR_CAPBSET_DROP = 24
_KEPT = frozenset((0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31))  # docker's fourteen
_PR_SET_CHILD_SUBREAPER = 36


def main() -> int:
    """Start the command, wait for it, and end as it ended."""
    os.closerange(_ABOVE, os.sysconf("SC_OPEN_MAX"))  # what the engine's caller left open
    length = int.from_bytes(_exact(8), "big")
    request = json.loads(_exact(length))
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    child = os.fork()
    if child == 0:
        _start(request)
    os.close(_REPORT)
    return _supervise(child)


def _exact(size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = os.read(_REQUEST, size - len(data))
        if not more:
            os._exit(125)
        data += more
    return data


def _supervise(child: int) -> int:
    handle = os.pidfd_open(child)
    poller = select.poll()
    poller.register(handle, select.POLLIN)
    poller.register(_REQUEST, select.POLLIN | select.POLLHUP)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, lambda got, _frame: os.kill(child, got))
    while True:
        ready = {descriptor for descriptor, _ in poller.poll()}
        if handle in ready:
            break
        poller.unregister(_REQUEST)
        os.kill(child, signal.SIGKILL)  # reaped below, so that its status is not lost
    _, status = os.waitpid(child, 0)
    _kill_all()
    if os.WIFSIGNALED(status):
        return 128 + os.WTERMSIG(status)
    return os.WEXITSTATUS(status)


def _kill_all() -> None:
    """Kill whatever is left of the container: every process below this one."""
    while True:
        children = _children()
        if not children:
            return
        for pid in children:
            try:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            except (ProcessLookupError, ChildProcessError):
                continue


def _children() -> list[int]:
    me = os.getpid()
    with open(f"/proc/{me}/task/{me}/children", encoding="utf-8") as file:
        return [int(pid) for pid in file.read().split()]


def _start(request: dict) -> None:  # type: ignore[type-arg]
    try:
        os.close(_REQUEST)
        os.closerange(_LOCKS, _ABOVE)
        os.set_inheritable(_REPORT, False)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):  # ignored by Python, and then for ever
            signal.signal(number, signal.SIG_DFL)
        _enter(request)
        _become(request)
        # Last: the kernel forgets it when the user changes (prctl(2)).
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        _execute(request)
    except OSError as error:
        _fail(125, f"{error.strerror}: {error.filename or ''}".rstrip(": "))


def _enter(request: dict) -> None:  # type: ignore[type-arg]
    os.setsid()
    os.chroot(request["root"])
    os.chdir("/")
    os.makedirs(request["cwd"], exist_ok=True)
    os.chdir(request["cwd"])
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))


def _become(request: dict) -> None:  # type: ignore[type-arg]
    libc = ctypes.CDLL(None)
    for capability in range(64):
        if capability not in _KEPT:
            libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    try:
        os.setgroups(request["groups"])
    except PermissionError:
        if request["groups"]:
            raise
    os.setgid(request["gid"])
    os.setuid(request["uid"])
    os.umask(0o022)


def _execute(request: dict) -> None:  # type: ignore[type-arg]
    args = request["args"]
    env = dict(item.split("=", 1) for item in request["env"])
    last: OSError = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    for path in _candidates(args[0], env.get("PATH", "")):
        try:
            os.execve(path, args, env)
        except OSError as error:
            if not isinstance(last, PermissionError):
                last = error
    missing = last.errno in (errno.ENOENT, errno.ENOTDIR)
    sought = missing and "/" not in args[0]
    words = "executable file not found in $PATH" if sought else str(last.strerror).lower()
    _fail(127 if missing else 126, words)


def _candidates(command: str, path: str) -> list[str]:
    if "/" in command:
        return [command]
    return [f"{folder}/{command}" for folder in path.split(":") if folder]


def _fail(code: int, words: str) -> None:
    os.write(_REPORT, f"{code} {words}".encode())
    os._exit(code)


if __name__ == "__main__":
    sys.exit(main())
