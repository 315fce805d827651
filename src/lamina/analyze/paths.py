"""Paths and words of an image as people may read them, and what paths have in common. Pure."""

from collections.abc import Iterable


def readable(path: bytes) -> str:
    """With a leading slash; what is no UTF-8, or would steer a terminal, as escapes."""
    return "/" + printable(path.decode("utf-8", "backslashreplace"))


def printable(text: str) -> str:
    """A text with escapes for what would steer a terminal."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def common(paths: Iterable[bytes]) -> bytes:
    """The path itself if all are one, else the folder that holds them."""
    found: list[bytes] | None = None
    for path in paths:
        parts = path.split(b"/")
        if found is None:
            found = parts
        elif found != parts:
            same = zip(found, parts, strict=False)
            differs = next((at for at, (one, two) in enumerate(same) if one != two), None)
            found = found[: min(len(found), len(parts)) if differs is None else differs]
    return b"/".join(found or [])
