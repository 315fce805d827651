"""`IMAGE:/PATH`, as `ls`, `cat` and `du` take it: a path begins with a slash.

An image of the store comes first: where there is one called `oci`, `oci:/etc` is a path in it. An
operand that begins with a slash is a path in the image before it.
"""

from collections.abc import Sequence
from typing import NamedTuple

from lamina.engine import Engine
from lamina.errors import ImageNotFound, InvalidReference, UsageError
from lamina.transfer.notation import names_end, path_of


class InImage(NamedTuple):
    """Paths in an image; none of them where only the image was named."""

    image: str
    paths: tuple[str, ...]


def one_path(opened: Engine, operands: Sequence[str]) -> tuple[str, str]:
    """One image and one path in it, the root where none is named."""
    asked = in_images(opened, operands)
    image, paths = asked[0]
    if len(asked) > 1 or len(paths) > 1:
        raise UsageError(f"{operands[-1]!r} is one too many", hint="name one path of one image")
    return image, paths[0] if paths else "/"


def in_images(opened: Engine, operands: Sequence[str]) -> list[InImage]:
    """What the operands name, in their order; raises `UsageError` for a path in no image."""
    found: list[InImage] = []
    for operand in operands:
        if not operand.startswith("/"):
            image, path = _split(opened, operand)
            found.append(InImage(image, (path,) if path is not None else ()))
        elif found:
            found[-1] = InImage(found[-1].image, (*found[-1].paths, operand))
        else:
            raise UsageError(f"{operand!r} is a path in no image", hint="write it as IMAGE:/PATH")
    return found


def _split(opened: Engine, text: str) -> tuple[str, str | None]:
    image, colon, path = text.partition(":/")
    if not colon:
        return text, None
    if names_end(text) and (path.startswith("/") or not _is_stored(opened, image)):
        return path_of(text)
    return image, f"/{path}"


def _is_stored(opened: Engine, name: str) -> bool:
    try:
        opened.images.get(name)
    except (ImageNotFound, InvalidReference):
        return False
    return True
