"""Where an OCI runtime sends the terminal of a container that it creates (`--console-socket`).

Part of the monitor: imports nothing of Lamina.
"""

import os
import sys
from _socket import AF_UNIX, CMSG_LEN, SCM_RIGHTS, SOCK_STREAM, SOL_SOCKET, socket


class Console:
    """The socket `console` in the folder of that descriptor, for one start."""

    def __init__(self, folder: int) -> None:
        # by descriptor: an address has 107 bytes, and a path may have more
        self._path = f"/proc/self/fd/{folder}/console"
        self._listening = socket(AF_UNIX, SOCK_STREAM)
        self._listening.bind(self._path)
        self._listening.listen(1)
        self._listening.setblocking(False)

    def take(self) -> int:
        """The terminal's other end, which the runtime has sent before it ended; -1 for none."""
        descriptor, _ = self._listening._accept()  # type: ignore[attr-defined]  # `socket` costs 4 ms
        sender = socket(fileno=descriptor)
        _, words, _, _ = sender.recvmsg(4096, CMSG_LEN(4))
        sender.close()
        for level, kind, data in words:
            if (level, kind) == (SOL_SOCKET, SCM_RIGHTS):
                terminal = int.from_bytes(data[:4], sys.byteorder)
                os.set_inheritable(terminal, False)
                os.set_blocking(terminal, False)
                return terminal
        return -1

    def close(self) -> None:
        """Be gone: the next start has one of its own."""
        self._listening.close()
        os.unlink(self._path)
