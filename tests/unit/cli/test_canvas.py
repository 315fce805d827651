"""The canvas that a live list is drawn on, over a terminal's two ends."""

import os
import threading

from lamina.cli.canvas import Canvas
from lamina.cli.cells import Line


def test_a_terminal_that_does_not_block_is_waited_for():
    """Programs that share it, such as node, set it so; nothing of the end is lost."""
    reading, writing = os.openpty()
    os.set_blocking(writing, False)
    seen = bytearray()
    full = threading.Event()

    def read():
        full.wait()
        try:
            while piece := os.read(reading, 1 << 16):
                seen.extend(piece)
        except OSError:
            pass  # the other end was closed

    reader = threading.Thread(target=read)
    reader.start()
    with open(writing, "w", encoding="utf-8") as out:
        canvas = Canvas(out, {})
        try:
            while True:
                os.write(writing, b"." * 4096)
        except BlockingIOError:
            full.set()
        canvas.draw([Line("x" * 79)] * 1000, [], 80)
        canvas.let_stand(["built it"])
    reader.join()
    os.close(reading)
    assert seen.endswith(b"built it\r\n")
