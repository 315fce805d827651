"""The keys that take a terminal away from a container, which goes on: ctrl-p, ctrl-q."""

from lamina.errors import UsageError

_DEFAULT = "ctrl-p,ctrl-q"


def _key(text: str) -> bytes:
    if len(text) == 1 and text.isascii():
        return text.encode()
    letter = text.lower().removeprefix("ctrl-")
    if len(letter) == 1 and text.lower() != letter and "@" <= letter.upper() <= "_":
        return bytes((ord(letter.upper()) & 0x1F,))
    raise UsageError(f"invalid detach key {text!r}", hint="write them as ctrl-p,ctrl-q")


class DetachKeys:
    """Looks for a sequence in what is typed; what may be its beginning is kept back."""

    def __init__(self, text: str | None) -> None:
        """`text` as docker writes them, nothing for docker's own; raises `UsageError`."""
        self._sequence = b"".join(_key(each) for each in (text or _DEFAULT).split(","))
        self._seen = b""

    def passed(self, data: bytes) -> bytes | None:
        """What is for the container; None when the sequence is complete."""
        passed = b""
        for value in data:
            self._seen += bytes((value,))
            while not self._sequence.startswith(self._seen):
                passed, self._seen = passed + self._seen[:1], self._seen[1:]
            if self._seen == self._sequence:
                return None
        return passed
