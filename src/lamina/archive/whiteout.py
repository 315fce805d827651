"""Whiteouts in the layer tar's form (OCI image-spec, layer.md): pure arithmetic on names.

`.wh.NAME` deletes NAME from below, `.wh..wh..opq` hides all that lies below its directory;
other names that begin with `.wh..wh.` are leftovers of aufs and mean nothing.
"""

from typing import Literal, NamedTuple

from lamina.errors import BadArchive

PREFIX = b".wh."
OPAQUE = b".wh..wh..opq"
_AUFS = b".wh..wh."


class Whiteout(NamedTuple):
    """What a marker says: `path` is gone, or nothing from below is seen in directory `path`."""

    what: Literal["gone", "opaque", "aufs"]
    folder: bytes
    base: bytes


def classify(name: bytes) -> Whiteout | None:
    """What a member's cleaned name says; None for an ordinary member.

    Raises `BadArchive` for a marker of nothing: `.wh.`, `.wh..`, `.wh...`.
    """
    folder, _, base = name.rpartition(b"/")
    if not base.startswith(PREFIX):
        return None
    if base == OPAQUE:
        return Whiteout("opaque", folder, b"")
    if base.startswith(_AUFS):
        return Whiteout("aufs", folder, base)
    target = base[len(PREFIX) :]
    if target in (b"", b".", b".."):
        raise BadArchive(f"the whiteout {name!r} names nothing")
    return Whiteout("gone", folder, target)


def marker(path: bytes) -> bytes:
    """The name of the member that says that `path` is gone."""
    folder, slash, base = path.rpartition(b"/")
    return folder + slash + PREFIX + base
