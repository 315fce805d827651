"""Reading one selected file for good: its attributes and bytes, as one and the same state of it.

A file that changes while it is read, or since it was looked at, is an error and never half of
one and half of the other.
"""

import hashlib
import os
import stat
from collections.abc import Callable, Iterator

from lamina.build.selection import Kept, Node, changed
from lamina.build.smallfiles import SMALL
from lamina.build.sources import SourceTree
from lamina.fs.status import Status
from lamina.fs.tree import Xattrs

_CHUNK = 1 << 20
_WHOLE = 1 << 20  # bytes of a file, up to which it is read at once


def digest_of(xattrs: Xattrs, content: bytes) -> bytes:
    """The digest of a file whose bytes have the digest `content`: that one, without attributes.

    With them by another hash function, since there may be a file that holds the very bytes which
    are hashed here: it must not pass for one with attributes.
    """
    if not xattrs:
        return content
    digest = hashlib.blake2s()
    for name, value in xattrs:
        digest.update(b"%d:%d:" % (len(name), len(value)) + name + value)
    digest.update(b"\0" + content)
    return digest.digest()


def whole(tree: SourceTree, node: Node, status: Status) -> Kept:
    """What a node of a tree holds, read unless it was kept; no bytes of a file that is large.

    Raises OSError, and `BuildError` when it is not what its digest says.
    """
    kept = node.kept
    if kept is not None and kept.data is not None:
        return kept
    assert node.path is not None
    is_file = status.is_file
    if is_file and status.size > _WHOLE:
        return Kept(b"", attributes(tree, node))  # its digest is for `require_bytes`
    if is_file and kept is not None and status.size <= SMALL:
        data = tree.contents.find(kept.digest)
        if data is not None:  # a file of that digest has no attributes (`digest_of`)
            return tuple.__new__(Kept, (kept.digest, (), data))
    if is_file:
        found = read_file(tree, node.path, status, keeps=True)
    else:
        found = read_other(tree, node.path, status)
    if kept is not None and kept.digest != found.digest:
        raise changed(os.fsdecode(node.path))
    if is_file and found.data is not None and not found.xattrs:
        tree.contents.keep(found.digest, found.data)
    return found


def attributes(tree: SourceTree, node: Node) -> Xattrs:
    """The attributes of a node, read unless they were kept; raises OSError."""
    if node.kept is not None and node.kept.xattrs is not None:
        return node.kept.xattrs
    return tree.xattrs(node.path) if node.path is not None else ()


def read_other(tree: SourceTree, path: bytes, status: Status) -> Kept:
    """The attributes of what is no regular file, and a link's target; raises OSError."""
    xattrs = tree.xattrs(path)
    data = tree.readlink(path) if stat.S_ISLNK(status.mode) else b""
    return Kept(digest_of(xattrs, hashlib.sha256(data).digest()), xattrs, data)


def no_check() -> None:
    """Go on."""


def read_file(
    tree: SourceTree,
    path: bytes,
    status: Status,
    *,
    keeps: bool,
    check: Callable[[], None] = no_check,
) -> Kept:
    """A regular file's attributes and digest, and if it `keeps` them its bytes.

    Raises OSError and `BuildError`, and what `check` does before each piece.
    """
    digest = hashlib.sha256()
    kept: list[bytes] = []
    descriptor = tree.open(path)
    try:
        xattrs = tree.xattrs_of_open(descriptor, path)
        for data in _pieces(descriptor, status.size, path):
            check()
            digest.update(data)
            if keeps:
                kept.append(data)
        require_unchanged(descriptor, status, path)
    finally:
        os.close(descriptor)
    return Kept(digest_of(xattrs, digest.digest()), xattrs, b"".join(kept) if keeps else None)


def _pieces(descriptor: int, size: int, path: bytes) -> Iterator[bytes]:
    """So many bytes of a file and no more, however fast it grows."""
    while size:
        data = os.read(descriptor, min(size, _CHUNK))
        if not data:
            raise changed(os.fsdecode(path))
        size -= len(data)
        yield data


def require_unchanged(descriptor: int, status: Status, path: bytes) -> None:
    """Raise `BuildError` when an open file is no longer what its status says."""
    if not status.is_still(os.fstat(descriptor)):
        raise changed(os.fsdecode(path))


def require_bytes(node: Node, xattrs: Xattrs, content: bytes) -> None:
    """Raise `BuildError` when attributes, and bytes of that SHA-256, are not what was digested."""
    if node.kept is not None and digest_of(xattrs, content) != node.kept.digest:
        raise changed(os.fsdecode(node.path or node.name))
