"""Whiteouts in the layer tar's form (OCI image-spec, layer.md): pure arithmetic on names.

`.wh.NAME` deletes NAME from below, `.wh..wh..opq` hides all that lies below its directory;
other names that begin with `.wh..wh.`, and all beneath them, are leftovers of aufs and mean
nothing.
"""

from typing import Literal, NamedTuple

from lamina.errors import BadArchive
from lamina.fs.inroot import shown

PREFIX = b".wh."
OPAQUE = b".wh..wh..opq"
_AUFS = b".wh..wh."


class Whiteout(NamedTuple):
    """What a marker says: `base` in `folder` is gone, or nothing from below is seen in `folder`."""

    what: Literal["gone", "opaque", "aufs"]
    folder: bytes
    base: bytes


def classify(name: bytes) -> Whiteout | None:
    """What a member's cleaned name says; None for an ordinary member.

    Raises `BadArchive` for a marker of nothing (`.wh.`, `.wh..`, `.wh...`) and for a member
    beneath a marker.
    """
    if PREFIX not in name:
        return None
    folder, _, base = name.rpartition(b"/")
    if PREFIX in folder:
        for part in folder.split(b"/"):
            if part.startswith(_AUFS):
                return Whiteout("aufs", folder, base)
            if part.startswith(PREFIX):
                raise BadArchive(f"{shown(name)} lies beneath a whiteout")
    if not base.startswith(PREFIX):
        return None
    if base == OPAQUE:
        return Whiteout("opaque", folder, b"")
    if base.startswith(_AUFS):
        return Whiteout("aufs", folder, base)
    target = base[len(PREFIX) :]
    if target in (b"", b".", b".."):
        raise BadArchive(f"the whiteout {shown(name)} names nothing")
    return Whiteout("gone", folder, target)


def is_reserved(path: bytes) -> bool:
    """Whether a file of that path can be part of no layer, since its name would delete another."""
    return PREFIX in path and any(part.startswith(PREFIX) for part in path.split(b"/"))


def marker(path: bytes) -> bytes:
    """The name of the member that says that `path` is gone."""
    folder, slash, base = path.rpartition(b"/")
    return folder + slash + PREFIX + base
