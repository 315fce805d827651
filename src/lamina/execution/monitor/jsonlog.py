"""What a container writes, kept in docker's json-file form: a JSON object a line, in rotated files.

    {"log":"a line\\n","stream":"stdout","time":"2026-01-02T03:04:05.000000006Z"}

Part of the monitor: imports nothing of Lamina, and no `json`, which would cost it half a megabyte.
A full disk costs lines, never the container.
"""

import os
import time

_PIECE = 1 << 14  # bytes of a line at most, as docker's; a longer one becomes several objects
_ESCAPES = {
    **{code: f"\\u{code:04x}" for code in (*range(32), 127)},
    ord("\n"): "\\n",
    ord("\r"): "\\r",
    ord("\t"): "\\t",
    ord('"'): '\\"',
    ord("\\"): "\\\\",
}


class Log:
    """The log at `path`; no more than `files` files of `size` bytes (0: without a bound)."""

    def __init__(self, path: str, size: int, files: int) -> None:
        self._path = path
        self._limit = size
        self._files = files
        self._fd = _opened(path, 0)
        self._size = os.fstat(self._fd).st_size
        self._begun = {"stdout": b"", "stderr": b""}  # lines without an end yet

    def write(self, stream: str, data: bytes) -> None:
        """Keep what came on `stream`: whole lines at once, the rest when its end has come."""
        pieces = _pieces(self._begun[stream] + data)
        self._begun[stream] = pieces.pop()
        if pieces:
            self._append(stream, pieces)

    def finish(self) -> None:
        """Keep what never got an end, too."""
        for stream, rest in self._begun.items():
            if rest:
                self._append(stream, [rest])
                self._begun[stream] = b""

    def _append(self, stream: str, pieces: list[bytes]) -> None:
        tail = f'","stream":"{stream}","time":"{_now()}"}}\n'
        texts = (piece.decode("utf-8", "replace").translate(_ESCAPES) for piece in pieces)
        lines = [f'{{"log":"{text}{tail}'.encode() for text in texts]
        try:
            while lines:
                fitting = self._fitting(lines)
                self._put(b"".join(lines[:fitting]))
                del lines[:fitting]
        except OSError:
            return  # a full disk: what cannot be kept is lost, and the container goes on

    def _fitting(self, lines: list[bytes]) -> int:
        """How many of the lines go to this file, or to the one that is begun for them."""
        if not self._limit:
            return len(lines)
        if self._size and self._size + len(lines[0]) > self._limit:
            self._rotate()
        room, count = self._limit - self._size - len(lines[0]), 1
        while count < len(lines) and len(lines[count]) <= room:
            room -= len(lines[count])
            count += 1
        return count

    def _put(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError:
            os.ftruncate(self._fd, self._size)  # no half line, or nothing after it can be read
            raise
        self._size += len(data)

    def _rotate(self) -> None:
        """`path` becomes `path.1`, that one `path.2`, and the oldest goes.

        What is to be written next is there before: for want of it none of them may go.
        """
        fresh = _opened(f"{self._path}.new", os.O_TRUNC)
        try:
            self._make_way()
            os.rename(f"{self._path}.new", self._path)
        except OSError:
            os.close(fresh)
            raise
        os.close(self._fd)
        self._fd, self._size = fresh, 0

    def _make_way(self) -> None:
        names = [self._path, *(f"{self._path}.{each}" for each in range(1, self._files))]
        for older, newer in zip(reversed(names[1:]), reversed(names[:-1]), strict=True):
            if os.path.exists(newer):
                os.rename(newer, older)


def _opened(path: str, more: int) -> int:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | more
    return os.open(path, flags, 0o600)


def _pieces(data: bytes) -> list[bytes]:
    """Lines with their ends, long ones in pieces; last of all what has no end yet."""
    *lines, rest = data.split(b"\n")
    found: list[bytes] = []
    for line in lines:
        found += _cut(line + b"\n")
    *full, rest = _cut(rest)
    return [*found, *full, rest]


def _cut(line: bytes) -> list[bytes]:
    return [line[at : at + _PIECE] for at in range(0, len(line), _PIECE)] or [b""]


def _now() -> str:
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{nanoseconds:09d}Z"
