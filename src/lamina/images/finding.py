"""Which image a text means: a name, a digest, a piece of an ID, in docker's order.

Only reads, inside its caller's transaction.
"""

import sqlite3

from lamina.errors import ImageNotFound, InvalidReference
from lamina.metadata import images as image_rows
from lamina.values.digest import ImageID
from lamina.values.reference import Reference

_HEX = frozenset("0123456789abcdef")


def resolve(db: sqlite3.Connection, text: str) -> ImageID:
    """The image that a name, a digest or an unambiguous piece of an ID means.

    Raises `ImageNotFound`.
    """
    found = _by_id(db, text) or _by_reference(db, text) or _by_prefix(db, text)
    if found is None:
        raise ImageNotFound(
            f"no such image: {text}", hint="see `lamina images`, or load, import or build it"
        )
    return found


def in_repository(db: sqlite3.Connection, text: str) -> list[tuple[str, ImageID]]:
    """The names in the repository that `text` is, if it has no tag, and their images."""
    try:
        reference = Reference.parse(text)
    except InvalidReference:
        return []
    if reference.tag is not None or reference.digest is not None:
        return []
    return image_rows.in_repository(db, reference.name)


def name_meant(text: str, names: tuple[str, ...]) -> str | None:
    """The one of `names` that `text` is."""
    try:
        name = str(Reference.parse(text).with_default_tag())
    except InvalidReference:
        return None
    return name if name in names else None


def _by_id(db: sqlite3.Connection, text: str) -> ImageID | None:
    hexadecimal = text.removeprefix("sha256:")
    if len(hexadecimal) != 64 or not _HEX.issuperset(hexadecimal):
        return None
    digest = f"sha256:{hexadecimal}"
    row = image_rows.get(db, digest)
    return row.id if row is not None else image_rows.by_manifest(db, digest)


def _by_reference(db: sqlite3.Connection, text: str) -> ImageID | None:
    try:
        reference = Reference.parse(text).with_default_tag()
    except InvalidReference:
        return None
    named = image_rows.by_name(db, str(reference))
    if reference.digest is None or named is not None:
        return named
    found = _by_id(db, reference.digest)
    if found is None:
        return None
    names = image_rows.names_of(db, found)
    return found if reference.name in (Reference.parse(name).name for name in names) else None


def _by_prefix(db: sqlite3.Connection, text: str) -> ImageID | None:
    hexadecimal = text.removeprefix("sha256:")
    if not hexadecimal or not _HEX.issuperset(hexadecimal):
        return None
    found = image_rows.by_prefix(db, hexadecimal)
    if len(found) > 1:
        raise ImageNotFound(f"several images' IDs begin with {text}: give more of it")
    return found[0] if found else None
