"""docker's frames of two streams in one: number, three zeros, size (big-endian), bytes."""

from lamina.execution.attached import whole_frames

STDOUT, STDERR = 1, 2
_NAMES = {"stdout": STDOUT, "stderr": STDERR}


def framed(number: int, data: bytes) -> bytes:
    """Some bytes of a stream as one frame."""
    return bytes((number, 0, 0, 0)) + len(data).to_bytes(4, "big") + data


def number_of(name: str) -> int:
    """Of a stream as logs call it."""
    return _NAMES.get(name, STDOUT)


class Sieve:
    """Passes on the frames of some streams alone."""

    def __init__(self, wanted: frozenset[int]) -> None:
        self._wanted = wanted
        self._kept = b""

    def passed(self, data: bytes) -> bytes:
        """What is wanted of what came; the beginning of a frame waits for its end."""
        found, self._kept = whole_frames(self._kept + data)
        return b"".join([each for each in found if each[0] in self._wanted])
