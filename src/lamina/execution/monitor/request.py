"""What whoever starts a container asks of its monitor, and what he is told."""

import os

REQUEST, REPORT = 3, 4  # descriptors


class Wish:
    """What is asked for: fields of `key=value`, then five command lines; see lamina.execution."""

    def __init__(self, data: bytes) -> None:
        fields, *commands = (os.fsdecode(part).split("\0") for part in data.split(b"\0\0"))
        self._fields = dict(field.split("=", 1) for field in fields)
        self.create, self.start, self.delete, self.finish, self.probe = (
            [word for word in command if word] for command in commands
        )

    def __getitem__(self, key: str) -> str:
        return self._fields[key]


def exact(size: int) -> bytes:
    """So many bytes from whoever wants us; without him we end."""
    data = b""
    while len(data) < size:
        more = os.read(REQUEST, size - len(data))
        if not more:
            os._exit(125)  # whoever wanted us is gone
        data += more
    return data


def say(words: str) -> None:
    """Report to whoever wants us."""
    try:
        os.write(REPORT, words.encode() + b"\n")
    except BrokenPipeError:
        pass  # whoever wanted to know is gone; the container is there all the same
