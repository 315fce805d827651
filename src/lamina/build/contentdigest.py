"""The digest of what a COPY or ADD would copy: part of its cache key.

Counted are each file's name below the destination, type, mode, size, numeric owner (where it is
carried over), link target, device number, attributes and bytes. Not counted are times and hard
links. Files whose digest the stat cache still vouches for are not opened; of the others what was
read is kept, within bounds, so that the copy need not read it again.
"""

import hashlib
import stat
import time
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from lamina.build.cachekey import Files
from lamina.build.filereading import no_check, read_file, read_other
from lamina.build.selection import DIGEST_SIZE, Kept, Listing, Node, Seen, Selected
from lamina.build.sources import SourceTree, unreadable
from lamina.build.statcache import StatCache
from lamina.fs.status import Status, facts, unpacked

ROOM = 64 << 20  # bytes that a step keeps of its sources between digest and copy
_NODE = 500  # bytes that a node takes, without its names and what its file holds
_XATTR = 130  # bytes that an attribute takes beyond its name and value
_WORTH_KEEPING = 64 << 10  # bytes of a file, up to which opening it again costs as much as reading


class Content(NamedTuple):
    """`digest` of everything selected; `files` explain it (see `cachekey.Files`).

    `seen` is what each source was (`Selected.expect`). What is only `told`, by an imported cache,
    was not looked at.
    """

    digest: str
    files: Mapping[str, str]
    seen: tuple[Seen, ...] = ()
    told: bool = False


def content_of(
    tree: SourceTree,
    selected: Iterable[Selected],
    cache: StatCache,
    *,
    room: int = ROOM,
    check: Callable[[], None] = no_check,
) -> Content:
    """Digest every selected file; raises a `StorageError` for one that cannot be read.

    `room` is how many bytes are kept of what is seen; `check` raises what is to end the reading.
    """
    reading = _Reading(tree, cache, room, check)
    try:
        seen = tuple(map(reading.source, selected))
    except OSError as error:
        raise unreadable(error, tree) from error
    return Content("sha256:" + reading.total.hexdigest(), reading.files.condensed(), seen)


class _Reading:
    """One pass over all sources of a step."""

    def __init__(
        self, tree: SourceTree, cache: StatCache, room: int, check: Callable[[], None]
    ) -> None:
        self._tree = tree
        self._keeps_owners = tree.keeps_owners
        self._cache = cache
        self._room = room
        self._check = check
        self.total = hashlib.sha256()
        self.files = Files()

    def source(self, source: Selected) -> Seen:
        """Digest one source; gives what was seen of it."""
        self.total.update(b"source\0")
        nodes: list[Node] = []
        listing: Listing | None = None
        digests = bytearray()
        for node in source.nodes():
            self._check()
            known = self._digested(node)
            if listing is None and self._room > 0:
                nodes.append(known)
                self._room -= _weight(known)
                continue
            if listing is None:
                listing = _listing(nodes)
            listing.add(node)
            digests += known.kept.digest if known.kept is not None else bytes(DIGEST_SIZE)
        if listing is None:
            return Seen(nodes)
        return Seen(nodes, listing.digest(), bytes(digests))

    def _digested(self, node: Node) -> Node:
        """Count a node; gives it with what is known of it now."""
        name, path, packed, data, implied, fetched, _ = node
        size, mode, uid, gid, rdev = facts(packed)
        if fetched is not None:
            digest = fetched.digest
        elif path is None:
            digest = hashlib.sha256(data).digest()
        else:
            kept = self._kept(path, packed)
            digest = kept.digest
            node = tuple.__new__(Node, (name, path, packed, data, implied, None, kept))
        is_folder = stat.S_ISDIR(mode)
        if not stat.S_ISREG(mode):
            size = 0
        if is_folder and not name:  # a source directory's own mode and owner are not copied
            line = b"\0top\0%b" % digest
        elif self._keeps_owners:
            line = b"%b\0%o %d:%d %d %d\0%b" % (name, mode, uid, gid, size, rdev, digest)
        else:
            line = b"%b\0%o  %d %d\0%b" % (name, mode, size, rdev, digest)
        self.total.update(b"%d:%b" % (len(line), line))
        if not is_folder:
            self.files.add(name, line)
        return node

    def _kept(self, path: bytes, packed: bytes) -> Kept:
        known = self._cache.find(packed)
        if known is not None:
            return tuple.__new__(Kept, (known, None, None))
        now, status = time.time_ns(), unpacked(packed)
        try:
            kept = self._read(path, status)
        except OSError as error:
            raise unreadable(error, self._tree, path) from error
        self._cache.note(packed, kept.digest, now)
        if kept.data is not None and status.is_file and not kept.xattrs:
            self._tree.contents.keep(kept.digest, kept.data)
        return kept

    def _read(self, path: bytes, status: Status) -> Kept:
        if not status.is_file:
            return read_other(self._tree, path, status)
        keeps = status.size <= _WORTH_KEEPING
        return read_file(self._tree, path, status, keeps=keeps, check=self._check)


def _weight(node: Node) -> int:
    """How many bytes a node takes, about."""
    names = len(node.name) + (len(node.path) if node.path is not None else 0)
    if node.kept is None:
        return _NODE + names
    size = _NODE + names + len(node.kept.data or b"")
    if node.kept.xattrs:
        size += sum(_XATTR + len(name) + len(value) for name, value in node.kept.xattrs)
    return size


def _listing(nodes: Iterable[Node]) -> Listing:
    listing = Listing()
    for node in nodes:
        listing.add(node)
    return listing
