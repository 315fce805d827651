"""A server in a thread of this process, for as long as a block lasts."""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_POLL = 0.01  # seconds after which a server that is to end looks up; its own default is half a one


@contextmanager
def served(server: socketserver.BaseServer) -> Iterator[None]:
    """Let a server answer for the block's time."""
    thread = threading.Thread(target=server.serve_forever, args=(_POLL,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
