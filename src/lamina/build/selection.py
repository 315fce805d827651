"""Which files a COPY or ADD takes, and under which names below its destination.

Knows globs, links given as sources, --exclude and --parents, and says why a source is missing.
Reads names and status only, never content; knows nothing of the destination's tree.
"""

import errno
import hashlib
import os
import posixpath
import stat
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from lamina.build.sources import SourceTree, unreadable
from lamina.dockerfile.glob import has_magic, match
from lamina.errors import BuildError, PathNotFound, UsageError
from lamina.fs.status import Status, inline, is_directory, packed, unpacked
from lamina.fs.tree import Xattrs, resolve

Excludes = Callable[[str], bool]
DIGEST_SIZE = 32  # bytes
_FETCHED_MODE = 0o600
_STARS = "**"  # any number of components
_UNNAMED = b"__unnamed__"  # BuildKit's name for what comes from a URL that ends in a slash


class Kept(NamedTuple):
    """What a file held when its digest was taken.

    `digest` counts its bytes (or link target) and attributes. These are None where they were not
    read, or are too much to keep.
    """

    digest: bytes
    xattrs: Xattrs | None = None
    data: bytes | None = None


class Node(NamedTuple):
    """One file, directory or link to be copied.

    `name` is where it goes, relative to the destination: `b""` is a source directory itself,
    whose contents go into the destination. `path` is where it lies in its tree; None for an
    inline file, whose bytes are `data`, or what was `fetched`. `packed` is its status. An `implied`
    directory leads to what was asked for (--parents): one that exists already at the destination
    stays as it is. `kept` is what is known of its content.
    """

    name: bytes
    path: bytes | None
    packed: bytes
    data: bytes = b""
    implied: bool = False
    fetched: "Fetched | None" = None
    kept: Kept | None = None

    @property
    def status(self) -> Status:
        """What it is."""
        return unpacked(self.packed)

    @property
    def is_directory(self) -> bool:
        """Whether this is a directory."""
        return is_directory(self.packed)


class Seen(NamedTuple):
    """What a source was when it was digested: its first nodes, with what was kept of them.

    Where these are not all, `listing` is the digest of all names and statuses, and `digests` has
    those of the further nodes' content, one after the other.
    """

    nodes: Sequence[Node]
    listing: bytes | None = None
    digests: bytes = b""

    def known(self, number: int, node: Node) -> Node:
        """A node of that number as it was, if it is still the same."""
        if number < len(self.nodes):
            return self.nodes[number]
        at = (number - len(self.nodes)) * DIGEST_SIZE
        return node._replace(kept=Kept(self.digests[at : at + DIGEST_SIZE]))


class Selected:
    """One source after globs are resolved: `top`, and by `nodes` all of it.

    What is in a large directory is not kept but walked anew each time, so that a million files
    take no memory; with `seen` it is the same each time, or an error.
    """

    def __init__(
        self,
        title: str,
        top: Node,
        walk: Callable[[], Iterator[Node]],
        seen: Seen | None = None,
    ) -> None:
        self.title = title
        self.top = top
        self._walk = walk
        self._seen = seen

    @property
    def is_directory(self) -> bool:
        """Whether the source is a directory, whose contents are copied."""
        return self.top.is_directory

    def expect(self, seen: Seen) -> "Selected":
        """The same, but `nodes` gives what was seen, or raises."""
        return Selected(self.title, self.top, self._walk, seen)

    def nodes(self) -> Iterator[Node]:
        """The source itself and what is in it, each directory before its entries, by name.

        Raises `BuildError` when it is no longer what was seen, or OSError.
        """
        if self._seen is None:
            return self._walk()
        if self._seen.listing is None:
            return iter(self._seen.nodes)
        return self._as_seen(self._seen)

    def _as_seen(self, seen: Seen) -> Iterator[Node]:
        listing = Listing()
        for number, node in enumerate(self._walk()):
            listing.add(node)
            yield seen.known(number, node)
        if listing.digest() != seen.listing:
            raise changed(self.title)


class Changed(BuildError):
    """That a source changes under the build's hands."""


def changed(title: str) -> Changed:
    """What is raised for such a source."""
    return Changed(f"{title!r} changed while it was read", hint="build again when it is still")


class Listing:
    """A digest over names and statuses: equal ones mean that nothing happened meanwhile."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def add(self, node: Node) -> None:
        """Count one more node."""
        self._digest.update(node.name + b"\0" + node.packed)

    def digest(self) -> bytes:
        """The digest of all that was added."""
        return self._digest.digest()


class Fetched(NamedTuple):
    """A file from elsewhere (a URL): its SHA-256, size, mtime, and a way to open it."""

    name: str
    digest: bytes
    size: int
    mtime_ns: int
    open: Callable[[], int]


class Inline(NamedTuple):
    """A file that stands in the Dockerfile itself (a heredoc)."""

    name: str
    data: bytes


class Wanted(NamedTuple):
    """What an instruction asks for: patterns and inline files in order, and its flags."""

    sources: tuple[str | Inline | Fetched, ...]
    exclude: tuple[Excludes, ...] = ()
    parents: bool = False


def select(tree: SourceTree, wanted: Wanted) -> list[Selected]:
    """Resolve every source; raises `PathNotFound` for one that is not there.

    A pattern that matches nothing is passed over as long as another source is found, so that
    `COPY package.json lock.json* ./` works with and without the second. Raises a `StorageError`
    for a directory that cannot be read.
    """
    found: list[Selected] = []
    try:
        for source in wanted.sources:
            if isinstance(source, Inline):
                found.append(_inline(source))
            elif isinstance(source, Fetched):
                found.append(_fetched(source))
            else:
                found.extend(_resolve(tree, source, wanted))
    except OSError as error:
        raise unreadable(error, tree) from error
    if not found and not wanted.parents:
        patterns = ", ".join(repr(each) for each in wanted.sources if isinstance(each, str))
        raise PathNotFound(f"nothing in {tree.title} matches {patterns}")
    return found


def _inline(source: Inline) -> Selected:
    node = Node(source.name.encode(), None, inline(len(source.data)), source.data)
    return Selected(source.name, node, lambda: iter((node,)))


def _fetched(source: Fetched) -> Selected:
    status = inline(source.size, _FETCHED_MODE, source.mtime_ns)
    node = Node(os.fsencode(source.name) or _UNNAMED, None, status, fetched=source)
    return Selected(source.name, node, lambda: iter((node,)))


def _resolve(tree: SourceTree, pattern: str, wanted: Wanted) -> Iterator[Selected]:
    depth, clean = _pivot(pattern) if wanted.parents else (0, _cut(pattern))
    for name in _expand(tree, clean, stars_from=depth if wanted.parents else None):
        real = _follow(tree, name)
        status = tree.lstat(real) if real is not None else None
        if real is None or status is None:
            from lamina.build.absent import missing  # few builds look in vain

            raise missing(tree, pattern, name)
        goes_to = _top_name(name, depth, status, wanted)
        top = Node(goes_to, real, packed(status), implied=wanted.parents)
        yield Selected(pattern, top, partial(_walked, tree, top, wanted))


def _cut(path: str) -> str:
    """A source as a path in its tree: `..` and a leading `/` stop at the root."""
    return posixpath.normpath("/" + path).lstrip("/")


def _pivot(pattern: str) -> tuple[int, str]:
    """For --parents: of how many components what stands before `/./` is, and the whole, cleaned.

    The components before are not kept.
    """
    head, mark, tail = pattern.partition("/./")
    before = _cut(head) if mark else ""
    return (
        before.count("/") + 1 if before else 0
    ), f"{before}/{_cut(tail if mark else head)}".strip("/")


def _top_name(name: bytes, depth: int, status: os.stat_result, wanted: Wanted) -> bytes:
    if wanted.parents:
        return b"/".join(name.split(b"/")[depth:])
    return b"" if stat.S_ISDIR(status.st_mode) else name.rpartition(b"/")[2]


def _expand(tree: SourceTree, pattern: str, stars_from: int | None) -> list[bytes]:
    """The paths that a cleaned pattern names, in lexical order.

    From the component of number `stars_from`, `**` is any number of components.
    """
    if not has_magic(pattern):
        return [os.fsencode(pattern.replace("\\", ""))]
    found = [b""]
    parts = pattern.split("/")
    for number, part in enumerate(parts):
        is_deep = part == _STARS and stars_from is not None and number >= stars_from
        if is_deep and number + 1 < len(parts):
            below = (path for folder in found for path in _folders(tree, folder))
            found = list(dict.fromkeys(below))  # stars in a row find the same again
        elif has_magic(part):
            found = [path for folder in found for path in _matching(tree, folder, part)]
        else:
            literal = os.fsencode(part.replace("\\", ""))
            found = [_join(folder, literal) for folder in found]
            found = [path for path in found if _follow(tree, path) is not None]
    return found


def _matching(tree: SourceTree, folder: bytes, pattern: str) -> Iterator[bytes]:
    real = _follow(tree, folder)
    status = tree.lstat(real) if real is not None else None
    if real is None or status is None or not stat.S_ISDIR(status.st_mode):
        return
    for child in tree.children(real):
        if not child.excluded and match(pattern, os.fsdecode(child.name)):
            yield _join(folder, child.name)


def _folders(tree: SourceTree, top: bytes) -> Iterator[bytes]:
    """A directory and all below it, by name; links are not followed on the way."""
    real = _follow(tree, top)
    status = tree.lstat(real) if real is not None else None
    if real is None or status is None or not stat.S_ISDIR(status.st_mode):
        return
    yield top
    waiting = [(top, iter(tree.children(real)))]
    while waiting:
        folder, children = waiting[-1]
        child = next(children, None)
        if child is None:
            waiting.pop()
        elif is_directory(child.status):
            path = _join(folder, child.name)
            yield path
            waiting.append((path, iter(tree.children(_join(real, path[len(top) :].lstrip(b"/"))))))


def _join(folder: bytes, name: bytes) -> bytes:
    return folder + b"/" + name if folder else name


def _follow(tree: SourceTree, path: bytes) -> bytes | None:
    """Where `path` leads inside the tree, every link followed; None when nowhere."""
    try:
        real = resolve(tree, path, follow_last=True)
    except OSError as error:
        raise UsageError(f"{os.fsdecode(path)!r}: {error.strerror}") from error
    return real if tree.lstat(real) is not None else None


# --- walking ----------------------------------------------------------------------------


def _walked(tree: SourceTree, top: Node, wanted: Wanted) -> Iterator[Node]:
    path = top.path or b""
    status = tree.lstat(path)
    if status is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), os.fsdecode(path))
    top = top._replace(packed=packed(status))
    if wanted.parents:
        yield from _parents(tree, top.name, path)
    yield top
    if top.is_directory:
        yield from _below(tree, path, top.name, wanted.exclude)


def _parents(tree: SourceTree, name: bytes, path: bytes) -> Iterator[Node]:
    """The directories of the source that --parents makes again."""
    parts = name.split(b"/")
    for end in range(1, len(parts)):
        at = path.split(b"/")[: end - len(parts)]
        folder = b"/".join(at)
        status = tree.lstat(folder)
        if status is not None:
            yield Node(b"/".join(parts[:end]), folder, packed(status), implied=True)


def _below(
    tree: SourceTree, top: bytes, name: bytes, exclude: tuple[Excludes, ...]
) -> Iterator[Node]:
    """What a directory holds, each before what is in it; iterative, so depth is no matter.

    A directory that is excluded appears only when something in it is brought back. One path alone
    is kept: those of all that is open would take the square of the depth.
    """
    folder = top
    prefix = name + b"/" if name else b""
    below = len(top) + 1 if top else 0
    waiting = [iter(tree.children(top))]
    withheld: list[Node] = []
    while waiting:
        child = next(waiting[-1], None)
        if child is None:
            waiting.pop()
            if withheld and withheld[-1].path == folder:
                withheld.pop()
            folder = folder.rpartition(b"/")[0]
            continue
        entry, status, excluded = child
        path = folder + b"/" + entry if folder else entry
        node = tuple.__new__(Node, (prefix + path[below:], path, status, b"", False, None, None))
        is_folder = is_directory(status)
        hidden = excluded or (bool(exclude) and _is_excluded(exclude, path, top))
        if not hidden:
            if withheld:
                yield from withheld
                withheld.clear()
            yield node
        elif is_folder:
            withheld.append(node)
        if is_folder:
            folder = path
            waiting.append(iter(tree.children(path)))


def _is_excluded(exclude: tuple[Excludes, ...], path: bytes, top: bytes) -> bool:
    relative = os.fsdecode(path[len(top) + 1 :] if top else path)
    return any(each(relative) for each in exclude)
