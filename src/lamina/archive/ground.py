"""What a layer is written onto: directories on disk or a tree in memory, under one contract.

`archive.apply` knows what members mean; a ground knows how to find, make and remove what they
name. Paths are bytes without a leading slash, `b""` is the root; a *physical* path leads through
no link. Following links inside the root is written here once, for every ground.
"""

import os
from collections.abc import Callable
from typing import Protocol, TypeVar

from lamina.archive.clearing import OnFile
from lamina.archive.entry import Body, Entry
from lamina.errors import BadArchive
from lamina.fs.inroot import shown
from lamina.fs.marks import Node
from lamina.fs.tree import LINK_LIMIT


class Where(Protocol):
    """A directory of a ground, at a physical path."""

    @property
    def path(self) -> bytes: ...


W = TypeVar("W", bound=Where)


class Ground(Protocol[W]):
    """The tree of the layer that is being written; raises OSError and `BadArchive`.

    The `put_` methods raise FileExistsError, before they touch a body, where there is something
    already. `followed` are the links on the way of names that are remembered; `pinned` is the
    directory that stays usable whatever else is opened.
    """

    followed: set[bytes]
    pinned: W | None

    def get(self, name: bytes) -> W:
        """The directory that `name` means, links followed, made with what it implies."""

    def make(self, path: bytes) -> W:
        """The directory at a physical path, made with what it implies if need be."""

    def physical(self, name: bytes) -> bytes:
        """The path of `name` with every link on the way followed inside the root."""

    def status(self, path: bytes) -> Node | None:
        """What this layer itself has at a physical path."""

    def below(self, path: bytes) -> os.stat_result | None:
        """What the layers below have there, unless something above it hides it."""

    def listdir(self, where: W) -> list[bytes]:
        """The names in a directory."""

    def is_directory(self, where: W, name: bytes) -> bool:
        """Whether `name`, which is there, is a directory."""

    def put_file(self, where: W, name: bytes, entry: Entry, body: Body) -> int:
        """Make a regular file of the stored bytes in `body`; gives its inode."""

    def put_directory(self, where: W, name: bytes, path: bytes) -> W:
        """Make a directory, to be described next."""

    def put_symlink(self, where: W, name: bytes, entry: Entry) -> None:
        """Make a symbolic link."""

    def put_node(self, where: W, name: bytes, entry: Entry) -> None:
        """Make a device or a FIFO."""

    def put_link(self, where: W, name: bytes, origin: W, base: bytes) -> None:
        """Give the file `base` in `origin` another name."""

    def put_whiteout(self, where: W, name: bytes) -> None:
        """Make overlayfs's mark of an absent name."""

    def copy_up(self, path: bytes, status: os.stat_result, where: W, name: bytes) -> None:
        """Make `name` in `where` what the layers below have at `path`."""

    def describe(self, where: W, entry: Entry, *, fresh: bool) -> None:
        """Give a directory a member's metadata; one that was there loses what it had."""

    def clear(self, where: W, name: bytes, path: bytes, on_file: OnFile) -> None:
        """Remove what stands there, a whole directory included; `on_file` sees what goes."""

    def hide(self, where: W) -> None:
        """Make a directory opaque, and free it of whiteouts."""

    def hide_fresh(self, where: W) -> None:
        """Make a directory opaque that is empty still."""

    def links_changed(self) -> None:
        """A link was made or went: names that lead through links must be resolved anew."""

    def finish(self) -> None:
        """Give every directory what it was to get in the end."""


def leads_through(followed: set[bytes], path: bytes) -> bool:
    """Whether a link that was followed stands at `path` or below it."""
    inside = path + b"/"
    return any(each == path or each.startswith(inside) for each in followed)


def follow(
    start: bytes,
    rest: bytes,
    link_target: Callable[[bytes], bytes | None],
    is_absent: Callable[[bytes], bool],
    followed: set[bytes],
) -> bytes:
    """The physical path of `rest` from the physical `start`; notes each link that it follows.

    `link_target` gives the target of a link, None for anything else. What does not exist stays
    as it is. Raises `BadArchive` for links without an end.
    """
    done = start.split(b"/") if start else []
    waiting = rest.split(b"/")[::-1]
    links = 0
    while waiting:
        part = waiting.pop()
        if part in (b"", b"."):
            continue
        if part == b"..":
            del done[-1:]
            continue
        path = b"/".join((*done, part))
        target = link_target(path)
        if target is None:
            done.append(part)
            if b".." not in waiting and is_absent(path):
                names = (each for each in reversed(waiting) if each not in (b"", b"."))
                return b"/".join((*done, *names))
            continue
        links += 1
        if links > LINK_LIMIT:
            name = start + b"/" + rest if start else rest
            raise BadArchive(f"too many symbolic links on the way to {shown(name)}")
        followed.add(path)
        if target.startswith(b"/"):
            done = []
        waiting += target.split(b"/")[::-1]
    return b"/".join(done)
