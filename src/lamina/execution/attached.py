"""Being attached to a detached container: the client's side of lamina.execution.monitor.clients."""

import os
import socket
from contextlib import suppress

from lamina.execution.monitor.clients import INPUT, LAST_INPUT, OUTPUT

__all__ = ["INPUT", "LAST_INPUT", "OUTPUT", "Attachment", "joined", "whole_frames"]

_CHUNK = 1 << 16
_HEAD = 8  # bytes of a frame's head


def joined(path: str, role: bytes) -> socket.socket:
    """A connection to the monitor at `path`, as one that wants `role` of it.

    Raises OSError when nobody listens there, of which BlockingIOError says that there is no room.
    """
    found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    folder, name = os.path.split(path)
    # by descriptor: an address has 107 bytes, and a path may have more
    place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        found.setblocking(False)  # where too many wait already, one would wait for ever
        found.connect(f"/proc/self/fd/{place}/{name}")
        found.setblocking(True)
        found.sendall(role)
    except BaseException:
        found.close()
        raise
    finally:
        os.close(place)
    return found


def whole_frames(data: bytes) -> tuple[list[bytes], bytes]:
    """docker's frames, with their heads, and the beginning of one that is not all there yet."""
    found = []
    while len(data) >= _HEAD:
        end = _HEAD + int.from_bytes(data[4:_HEAD], "big")
        if len(data) < end:
            break
        found.append(data[:end])
        data = data[end:]
    return found, data


class Attachment:
    """One connection; `framed` unless the container has a terminal."""

    def __init__(self, path: str, role: bytes, *, framed: bool) -> None:
        """Raises OSError when nobody listens there."""
        self._framed = framed
        self._kept = b""
        self._socket = joined(path, role)

    def fileno(self) -> int:
        """Readable when there is something to `read`."""
        return self._socket.fileno()

    def read(self) -> list[tuple[int, bytes]] | None:
        """What came, by stream (1 or 2); waits for some. None when the container has ended."""
        try:
            data = self._socket.recv(_CHUNK)
        except ConnectionResetError:
            data = b""
        if not data:
            return None
        if not self._framed:
            return [(1, data)]
        frames, self._kept = whole_frames(self._kept + data)
        return [(each[0], each[_HEAD:]) for each in frames]

    def send(self, data: bytes) -> None:
        """Feed the container's input; nothing when it is gone."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self._socket.sendall(data)

    def end_input(self) -> None:
        """Say that no more will come."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Leave; the container goes on."""
        self._socket.close()
