"""Where clients come: UNIX sockets, loopback addresses, or what systemd hands over (LISTEN_FDS).

A UNIX socket that nobody listens at is taken over; whoever serves it holds a lock beside it, so
that two servers never fight for one.
"""

import fcntl
import os
import socket
import stat
from contextlib import ExitStack, suppress
from typing import NamedTuple

from lamina.errors import LockHeld, UsageError, from_oserror

_FIRST = 3  # sd_listen_fds(3)
BACKLOG = 1024  # who may come at one moment; beyond it connecting fails


class Place(NamedTuple):
    """A listening socket, and how clients name it."""

    name: str
    socket: socket.socket


def opened(hosts: list[str], ending: ExitStack) -> list[Place]:
    """A listening socket for each of `hosts`; let go of with `ending`.

    Raises `UsageError` for what is no address, `LockHeld` where another one serves, or a
    `StorageError`.
    """
    return [Place(each, _opened(each, ending)) for each in hosts]


def inherited(ending: ExitStack) -> list[Place]:
    """What a service manager opened for us; nothing without one."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    count = os.environ.get("LISTEN_FDS", "")
    if not count.isdecimal():
        return []
    found = [socket.socket(fileno=_FIRST + number) for number in range(int(count[:3]))]
    for each in found:
        each.set_inheritable(False)
        ending.callback(each.close)
    return [Place("what the service manager opened", each) for each in found]


def _opened(host: str, ending: ExitStack) -> socket.socket:
    kind, _, place = host.partition("://")
    if kind == "unix" and place.startswith("/"):
        return _unix(place, ending)
    if kind == "tcp":
        return _tcp(place, ending)
    raise UsageError(
        f"{host[:100]!r} is nothing to listen at", hint="unix:///path or tcp://127.0.0.1:PORT"
    )


def _unix(path: str, ending: ExitStack) -> socket.socket:
    try:
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        ending.callback(os.close, lock)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LockHeld(
                f"another one serves {path}", hint="end it, or choose another -H"
            ) from None
        return _bound(path, ending)
    except OSError as error:
        raise from_oserror(error, "listening at", path) from error


def _bound(path: str, ending: ExitStack) -> socket.socket:
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise UsageError(f"{path} is there and is no socket", hint="choose another -H")
        os.unlink(path)  # of one that was killed: the lock says that nobody serves it
    listening = ending.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
    folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # by descriptor: an address has 107 bytes, and a path may have more
        name = f"/proc/self/fd/{folder}/{os.path.basename(path)}"
        listening.bind(name)
        os.chmod(path, 0o600)
        group = _group()
        if group is not None:
            os.chown(path, -1, group)
            os.chmod(path, 0o660)
    finally:
        os.close(folder)
    listening.listen(BACKLOG)
    ending.callback(_unlink, path)
    return listening


def _unlink(path: str) -> None:
    with suppress(OSError):
        os.unlink(path)


def _group() -> int | None:
    """docker's group, who may speak to root's engine; None for others and where there is none."""
    import grp

    if os.geteuid() != 0:
        return None
    try:
        return grp.getgrnam("docker").gr_gid
    except KeyError:
        return None


def _tcp(place: str, ending: ExitStack) -> socket.socket:
    host, _, port = place.rpartition(":")
    if host not in ("127.0.0.1", "localhost", "[::1]") or not port.isdecimal():
        raise UsageError(
            f"tcp://{place[:80]} is no address of this machine alone",
            hint="whoever reaches it is root here: give tcp://127.0.0.1:PORT, or a UNIX socket",
        )
    family = socket.AF_INET6 if host == "[::1]" else socket.AF_INET
    listening = ending.enter_context(socket.socket(family, socket.SOCK_STREAM))
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", int(port[:6])))
    except (OSError, OverflowError) as error:
        words = error.strerror if isinstance(error, OSError) else "there is no such port"
        raise UsageError(f"cannot listen at tcp://{place[:80]}: {words}") from error
    listening.listen(BACKLOG)
    return listening
