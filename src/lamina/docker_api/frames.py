"""docker's frames of two streams in one: number, three zeros, size (big-endian), bytes."""

STDOUT, STDERR = 1, 2
_HEAD = 8
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
        self._kept += data
        found = []
        while len(self._kept) >= _HEAD:
            end = _HEAD + int.from_bytes(self._kept[4:_HEAD], "big")
            if len(self._kept) < end:
                break
            if self._kept[0] in self._wanted:
                found.append(self._kept[:end])
            self._kept = self._kept[end:]
        return b"".join(found)
