"""Which files a COPY or ADD takes, and under which names below its destination.

Knows globs, links given as sources, --exclude and --parents, and says why a source is missing.
Reads names and status only, never content; knows nothing of the destination's tree.
"""

import os
import posixpath
import stat
from collections.abc import Callable, Iterator
from typing import NamedTuple

from lamina.build.sources import SourceTree
from lamina.dockerfile.glob import has_magic, match
from lamina.errors import PathNotFound, UsageError, from_oserror
from lamina.fs.tree import resolve

Excludes = Callable[[str], bool]
_NEAR = 3


class Node(NamedTuple):
    """One file, directory or link to be copied.

    `name` is where it goes, relative to the destination: `b""` is a source directory itself,
    whose contents go into the destination. `path` is where it lies in its tree; None for an
    inline file, whose bytes are `data`. An `implied` directory leads to what was asked for
    (--parents): one that exists already at the destination stays as it is.
    """

    name: bytes
    path: bytes | None
    status: os.stat_result
    data: bytes = b""
    implied: bool = False

    @property
    def is_directory(self) -> bool:
        """Whether this is a directory."""
        return stat.S_ISDIR(self.status.st_mode)


class Selected(NamedTuple):
    """One source after globs are resolved: its top first, then what is in it, in order."""

    title: str
    nodes: tuple[Node, ...]

    @property
    def is_directory(self) -> bool:
        """Whether the source is a directory, whose contents are copied."""
        return self.nodes[0].is_directory


class Inline(NamedTuple):
    """A file that stands in the Dockerfile itself (a heredoc)."""

    name: str
    data: bytes


class Wanted(NamedTuple):
    """What an instruction asks for: patterns and inline files in order, and its flags."""

    sources: tuple[str | Inline, ...]
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
            else:
                found.extend(_resolve(tree, source, wanted))
    except OSError as error:
        raise from_oserror(error, f"reading {tree.title}:") from error
    if not found and not wanted.parents:
        patterns = ", ".join(repr(each) for each in wanted.sources if isinstance(each, str))
        raise PathNotFound(f"nothing in {tree.title} matches {patterns}")
    return found


def _inline(source: Inline) -> Selected:
    status = os.stat_result((stat.S_IFREG | 0o644, 0, 0, 1, 0, 0, len(source.data), 0, 0, 0))
    return Selected(source.name, (Node(source.name.encode(), None, status, source.data),))


def _resolve(tree: SourceTree, pattern: str, wanted: Wanted) -> Iterator[Selected]:
    base, clean = _pivot(pattern) if wanted.parents else ("", _cut(pattern))
    for name in _expand(tree, clean):
        real = _follow(tree, name)
        status = tree.lstat(real) if real is not None else None
        if real is None or status is None:
            raise _missing(tree, pattern, name)
        top = Node(_top_name(name, base, status, wanted), real, status, implied=wanted.parents)
        yield Selected(pattern, tuple(_walked(tree, top, wanted)))


def _cut(path: str) -> str:
    """A source as a path in its tree: `..` and a leading `/` stop at the root."""
    return posixpath.normpath("/" + path).lstrip("/")


def _pivot(pattern: str) -> tuple[str, str]:
    """For --parents: what stands before `/./` (not kept) and the whole, cleaned."""
    head, mark, _ = pattern.partition("/./")
    return (_cut(head) if mark else ""), _cut(pattern)


def _top_name(name: bytes, base: str, status: os.stat_result, wanted: Wanted) -> bytes:
    if wanted.parents:
        prefix = base.encode("utf-8", "surrogateescape")
        return name[len(prefix) :].lstrip(b"/") if prefix else name
    return b"" if stat.S_ISDIR(status.st_mode) else name.rpartition(b"/")[2]


def _expand(tree: SourceTree, pattern: str) -> list[bytes]:
    """The paths that a cleaned pattern names, in lexical order."""
    if not has_magic(pattern):
        return [os.fsencode(pattern.replace("\\", ""))]
    found = [b""]
    for part in pattern.split("/"):
        if has_magic(part):
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
            yield Node(b"/".join(parts[:end]), folder, status, implied=True)


def _below(
    tree: SourceTree, top: bytes, name: bytes, exclude: tuple[Excludes, ...]
) -> Iterator[Node]:
    """What a directory holds, each before what is in it; iterative, so depth is no matter.

    A directory that is excluded appears only when something in it is brought back.
    """
    waiting = [(top, name, iter(tree.children(top)))]
    withheld: list[Node] = []
    while waiting:
        folder, prefix, children = waiting[-1]
        child = next(children, None)
        if child is None:
            waiting.pop()
            if withheld and withheld[-1].path == folder:
                withheld.pop()
            continue
        path = folder + b"/" + child.name if folder else child.name
        node = Node(prefix + b"/" + child.name if prefix else child.name, path, child.status)
        hidden = child.excluded or _is_excluded(exclude, path, top)
        is_directory = stat.S_ISDIR(child.status.st_mode)
        if hidden and is_directory:
            withheld.append(node)
        elif not hidden:
            yield from withheld
            withheld.clear()
            yield node
        if is_directory:
            waiting.append((path, node.name, iter(tree.children(path))))


def _is_excluded(exclude: tuple[Excludes, ...], path: bytes, top: bytes) -> bool:
    if not exclude:
        return False
    relative = os.fsdecode(path[len(top) + 1 :] if top else path)
    return any(each(relative) for each in exclude)


# --- what is missing --------------------------------------------------------------------


def _missing(tree: SourceTree, pattern: str, path: bytes) -> PathNotFound:
    reason = tree.why_absent(path)
    near = [] if reason else _near(tree, path)
    hint = f"did you mean {' or '.join(near)}?" if near else ""
    what = f"{tree.title} has no {pattern!r}"
    return PathNotFound(f"{what}: {reason}" if reason else what, hint=hint)


def _near(tree: SourceTree, path: bytes) -> list[str]:
    """Names beside a missing one that look like it."""
    from difflib import get_close_matches

    folder, _, name = path.rpartition(b"/")
    try:
        beside = [os.fsdecode(child.name) for child in tree.children(folder)]
    except OSError:
        return []
    prefix = os.fsdecode(folder) + "/" if folder else ""
    close = get_close_matches(os.fsdecode(name), beside, _NEAR)
    return [prefix + each for each in close]
