"""Reading one selected file for good: its attributes and bytes, as one and the same state of it.

A file that changes while it is read, or since it was looked at, is an error and never half of
one and half of the other.
"""

import hashlib
import os
import stat

from lamina.build.selection import Kept, Node, changed
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


def whole(tree: SourceTree, node: Node) -> Kept:
    """What a node of a tree holds, read unless it was kept; no bytes of a file that is large.

    Raises OSError, and `BuildError` when it is not what its digest says.
    """
    kept = node.kept
    if kept is not None and kept.data is not None:
        return kept
    assert node.path is not None
    status = node.status
    if status.is_file and status.size > _WHOLE:
        known = kept.xattrs if kept is not None else None
        return Kept(b"", tree.xattrs(node.path) if known is None else known)
    read = read_small if status.is_file else read_other
    found = read(tree, node.path, status)
    if kept is not None and kept.digest != found.digest:
        raise changed(os.fsdecode(node.path))
    return found


def read_other(tree: SourceTree, path: bytes, status: Status) -> Kept:
    """The attributes of what is no regular file, and a link's target; raises OSError."""
    xattrs = tree.xattrs(path)
    data = tree.readlink(path) if stat.S_ISLNK(status.mode) else b""
    return Kept(digest_of(xattrs, hashlib.sha256(data).digest()), xattrs, data)


def read_small(tree: SourceTree, path: bytes, status: Status) -> Kept:
    """All of a regular file; raises OSError and `BuildError`."""
    descriptor = tree.open(path)
    try:
        xattrs = tree.xattrs_of_open(descriptor, path)
        data = os.read(descriptor, status.size) if status.size else b""
        require_unchanged(descriptor, status, path)
    finally:
        os.close(descriptor)
    if len(data) != status.size:
        raise changed(os.fsdecode(path))
    return Kept(digest_of(xattrs, hashlib.sha256(data).digest()), xattrs, data)


def read_large(tree: SourceTree, path: bytes, status: Status) -> Kept:
    """The digest of a file that is not to be in memory; raises OSError and `BuildError`."""
    digest = hashlib.sha256()
    descriptor = tree.open(path)
    try:
        xattrs = tree.xattrs_of_open(descriptor, path)
        while data := os.read(descriptor, _CHUNK):
            digest.update(data)
        require_unchanged(descriptor, status, path)
    finally:
        os.close(descriptor)
    return Kept(digest_of(xattrs, digest.digest()), xattrs)


def require_unchanged(descriptor: int, status: Status, path: bytes) -> None:
    """Raise `BuildError` when an open file is no longer what its status says."""
    if not status.is_still(os.fstat(descriptor)):
        raise changed(os.fsdecode(path))


def require_same(tree: SourceTree, node: Node) -> None:
    """Raise `BuildError` when a file is no longer what its status says."""
    if node.path is None:
        return
    status = tree.lstat(node.path)
    if status is None or not node.status.is_still(status):
        raise changed(os.fsdecode(node.path))
