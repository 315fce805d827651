"""`IMAGE:PATH`, as `ls`, `cat` and `du` take it. The path begins with a slash."""

from typing import NamedTuple


class InImage(NamedTuple):
    """A path in an image."""

    image: str
    path: str


def split(text: str) -> InImage:
    """The image and the path; without a path its root is meant."""
    image, colon, path = text.partition(":/")
    return InImage(image, f"/{path}" if colon else "/")
