"""ssh agents lent to a command: a socket of our own, with the owner it is to have, before theirs.

A command sees neither the agent's file nor its owner; when the command is over, nobody answers
any more. Bytes are passed on as they are, for so many connections at once and no more.
"""

import os
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from lamina.errors import BuildError

_AT_ONCE = 16
_CHUNK = 1 << 14
_PATIENCE = 10.0  # seconds


@contextmanager
def lent(agent: str, path: str, *, mode: int, uid: int, gid: int) -> Iterator[None]:
    """Answer for `agent` at the socket `path`, for the block's time; raises `BuildError`."""
    listener = _listen(path)
    try:
        os.chown(path, uid, gid)
        os.chmod(path, mode)
        with _Passing(listener, agent):
            yield
    except OSError as error:
        raise BuildError(f"the ssh agent cannot be lent: {error.strerror}") from error
    finally:
        listener.close()
        os.unlink(path)


def _listen(path: str) -> socket.socket:
    """The path may be longer than an address of a socket can be: it is named from its folder."""
    folder = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(f"/proc/self/fd/{folder}/{os.path.basename(path)}")
        listener.listen(_AT_ONCE)
    except BaseException:
        listener.close()
        raise
    finally:
        os.close(folder)
    return listener


class _Passing:
    """One thread that accepts connections and passes bytes both ways, until it is stopped."""

    def __init__(self, listener: socket.socket, agent: str) -> None:
        self._listener = listener
        self._agent = agent
        self._stop, self._stopper = os.pipe2(os.O_CLOEXEC)
        self._thread = threading.Thread(target=self._pass_on, name="lamina-ssh", daemon=True)
        self._peers: dict[int, tuple[socket.socket, socket.socket]] = {}
        self._poller = select.poll()

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_exception: object) -> None:
        os.close(self._stopper)
        self._thread.join()
        os.close(self._stop)

    def _pass_on(self) -> None:
        self._poller.register(self._listener, select.POLLIN)
        self._poller.register(self._stop, select.POLLIN)
        try:
            while True:
                ready = [descriptor for descriptor, _ in self._poller.poll()]
                if self._stop in ready:
                    return
                for descriptor in ready:
                    if descriptor == self._listener.fileno():
                        self._accept()
                    elif descriptor in self._peers:
                        self._move(*self._peers[descriptor])
        finally:
            for end, _ in list(self._peers.values()):
                end.close()

    def _accept(self) -> None:
        near, _ = self._listener.accept()
        far = socket.socket(socket.AF_UNIX)
        for end in (near, far):
            end.settimeout(_PATIENCE)  # who does not read is hung up on, and holds up nobody
        try:
            if len(self._peers) >= 2 * _AT_ONCE:
                raise OSError
            far.connect(self._agent)
        except OSError:
            near.close()
            far.close()
            return
        for one, other in ((near, far), (far, near)):
            self._peers[one.fileno()] = (one, other)
            self._poller.register(one, select.POLLIN)

    def _move(self, one: socket.socket, other: socket.socket) -> None:
        try:
            data = one.recv(_CHUNK)
            if data:
                other.sendall(data)
                return
        except OSError:
            pass  # whoever hung up: both ends go
        for end in (one, other):
            self._poller.unregister(end)
            del self._peers[end.fileno()]
            end.close()
