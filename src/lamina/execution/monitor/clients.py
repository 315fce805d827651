"""Those who are attached to a container: they get what it writes, and may feed its input.

A client connects to a UNIX socket and says in one byte what it is (`OUTPUT`, `INPUT`,
`LAST_INPUT`); what it sends then is the container's input. It gets docker's frames: the stream's
number, three zeros, the size (big-endian) and so many bytes; of a terminal, bytes as they are.

Part of the monitor: imports nothing of Lamina. What a client does not take up holds the container
back, as a pipe would.
"""

import os
from _socket import AF_UNIX, SOCK_STREAM, socket

OUTPUT = b"o"  # wants output alone
INPUT = b"i"  # feeds the input, which stays open for others when it ends
LAST_INPUT = b"l"  # when it ends, the container's input ends
_UNREAD = 1 << 18  # bytes that wait for a client before the container has to
_CHUNK = 1 << 16
_MOST = 256  # of them at once


class Client:
    """One connection; `role` is not known before its first byte."""

    def __init__(self, descriptor: int) -> None:
        self.fd = descriptor
        self.role = b""
        self.waiting = bytearray()  # what it has yet to take up
        self.is_done = False  # it will send no more

    def flush(self) -> bool:
        """Give it what it takes up now; False when it is gone."""
        try:
            while self.waiting:
                del self.waiting[: os.write(self.fd, self.waiting[:_CHUNK])]
        except BlockingIOError:
            return True
        except OSError:
            return False
        return True


class Clients:
    """All of them, and the socket in `folder` at which they come."""

    def __init__(self, folder: int, *, framed: bool) -> None:
        self._framed = framed
        self._socket = socket(AF_UNIX, SOCK_STREAM)
        # by descriptor: an address has 107 bytes, and a path may have more
        self._socket.bind(f"/proc/self/fd/{folder}/attach")
        self._socket.listen(_MOST)  # all of them may come before the start
        self._socket.setblocking(False)
        self.listening = self._socket.fileno()
        self.known: dict[int, Client] = {}

    @property
    def has_room(self) -> bool:
        """Whether one more may come."""
        return len(self.known) < _MOST

    @property
    def are_slow(self) -> bool:
        """Whether somebody has not taken up what was written for too long."""
        return any(len(client.waiting) > _UNREAD for client in self.known.values())

    @property
    def done(self) -> set[int]:
        """Those who will send no more, and listen still."""
        return {client.fd for client in self.known.values() if client.is_done}

    def accept(self) -> None:
        """Take in all who have come: what the container writes next is for each of them."""
        while self.has_room:
            try:
                descriptor, _ = self._socket._accept()  # type: ignore[attr-defined]  # `socket` costs 4 ms
            except OSError:
                return  # gone again, or we have no descriptor left
            os.set_blocking(descriptor, False)
            self.known[descriptor] = Client(descriptor)

    def give(self, number: int, data: bytes) -> None:
        """Let everybody have what came on stream `number`."""
        head = bytes((number, 0, 0, 0)) + len(data).to_bytes(4, "big") if self._framed else b""
        for client in list(self.known.values()):
            client.waiting += head + data
            self.flush(client)

    def flush(self, client: Client) -> None:
        """Give one what it takes up now; whoever is gone is forgotten."""
        if not client.flush():
            self.forget(client)

    def read(self, client: Client) -> bytes | None:
        """What it sends to the container; nothing yet (b""), or no more at all (None)."""
        try:
            data = os.read(client.fd, _CHUNK)
        except BlockingIOError:
            return b""
        except OSError:
            data = b""
        if not data:
            client.is_done = True
            return None
        if not client.role:
            client.role, data = data[:1], data[1:]
        return data if client.role != OUTPUT else b""

    def forget(self, client: Client) -> None:
        """Let go of one."""
        if self.known.pop(client.fd, None) is not None:
            os.close(client.fd)
