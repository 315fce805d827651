"""Something that is iterated over is closed once a bell rings: nobody listens to it any more."""

import os
import select
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from lamina.values.closing import Closing


@contextmanager
def closing_at(followed: Closing, bell: int) -> Iterator[None]:
    """Close it when the descriptor `bell` is readable, and at the end of the block."""
    over = os.eventfd(0, os.EFD_CLOEXEC)

    def watch() -> None:
        poller = select.poll()
        for each in (bell, over):
            poller.register(each, select.POLLIN)
        poller.poll()
        followed.close()

    try:
        watching = threading.Thread(target=watch, name="lamina-bell", daemon=True)
        watching.start()
        try:
            yield
        finally:
            os.eventfd_write(over, 1)
            watching.join()
    finally:
        os.close(over)
