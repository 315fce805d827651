"""Which layers brought, changed and took away a path; and what directories take up. Pure.

A pattern is a path, or a glob whose `*`, `?` and `[a-z]` stay within one name and whose `**` is
any number of directories; without a slash it is a name anywhere. Paths that are gone are found,
too. Knows the merged tree; knows no image and no instruction.
"""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Literal, NamedTuple

from lamina.analyze.merged import Gone, MergedTree, Node, Version
from lamina.archive.entry import DIR, FILE, SYMLINK

Change = Literal["added", "changed", "attributes", "unchanged", "implied", "deleted", "replaced"]
_ANY = b"**"
_MAGIC = frozenset(b"*?[")


class Seen(NamedTuple):
    """What one layer (counted from 0, the lowest) did to a path.

    `size` in bytes with holes, `digest` in hexadecimal; of a path that is gone all are empty.
    """

    layer: int
    change: Change
    kind: str
    mode: int
    uid: int
    gid: int
    size: int
    mtime_ns: int
    link: bytes
    digest: str


class Found(NamedTuple):
    """A path without a leading slash, whether it is there now, and its past, oldest first."""

    path: bytes
    present: bool
    versions: tuple[Seen, ...]


class Taken(NamedTuple):
    """What a path and all below it take up: bytes with hard links once, and entries."""

    path: bytes
    size: int
    entries: int


def find(tree: MergedTree, pattern: bytes) -> list[Found]:
    """Every path that fits, sorted; raises `BadArchive` for links without an end."""
    if not _MAGIC.intersection(pattern) and b"/" in pattern.strip(b"/") + pattern[:1]:
        nodes = _exactly(tree, pattern)
    else:
        nodes = _matching(tree, pattern)
    found = ((node.path, node) for node in nodes if node.parent is not None)
    return [
        Found(path, node.now is not None, tuple(_versions(node))) for path, node in sorted(found)
    ]


def _exactly(tree: MergedTree, path: bytes) -> Iterator[Node]:
    """The path itself, or where its directories lead to now."""
    folder, _, name = path.rstrip(b"/").rpartition(b"/")
    above = tree.resolve(folder)
    inside = (above.children or {}) if above is not None else {}
    node = inside.get(name) or tree.known(path.strip(b"/"))
    if node is not None:
        yield node


def _matching(tree: MergedTree, pattern: bytes) -> Iterator[Node]:
    """One walk; each node is reached with the parts of the pattern that may come next."""
    parts = [part for part in pattern.split(b"/") if part]
    if parts and b"/" not in pattern:
        parts.insert(0, _ANY)
    if parts and parts[-1] == _ANY:
        parts.append(b"*")  # what is below, and not the directory itself
    waiting = [(tree.root, _opened(parts, {0}))] if parts else []
    while waiting:
        node, at = waiting.pop()
        for name, child in (node.children or {}).items():
            reached = {each for each in at if parts[each] == _ANY}
            reached |= {each + 1 for each in at if _fits(name, parts[each])}
            reached = _opened(parts, reached)
            if len(parts) in reached:
                yield child
            rest = {each for each in reached if each < len(parts)}
            if rest and child.children:
                waiting.append((child, rest))


def _fits(name: bytes, part: bytes) -> bool:
    return name == part or fnmatchcase(name, part)


def _opened(parts: list[bytes], at: set[int]) -> set[int]:
    """`**` may stand for nothing."""
    for each in sorted(at):
        while each < len(parts) and parts[each] == _ANY:
            each += 1
            at.add(each)
    return at


# --- versions ---------------------------------------------------------------------------


def _versions(node: Node) -> Iterator[Seen]:
    before: Version | None = None
    for step in node.steps:
        if isinstance(step, Gone):
            how: Change = "replaced" if step.how == "replaced" else "deleted"
            yield Seen(step.layer, how, "", 0, 0, 0, 0, 0, b"", "")
            before = None
        else:
            yield _seen(step, _change(before, step))
            before = step


def _seen(version: Version, change: Change) -> Seen:
    digest = version.digest.hex() if version.kind == FILE else ""
    link = version.link if version.kind == SYMLINK else b""
    return Seen(
        version.layer,
        change,
        version.kind,
        version.mode,
        version.uid,
        version.gid,
        version.size,
        version.mtime_ns,
        link,
        digest,
    )


def _change(before: Version | None, now: Version) -> Change:
    if before is None:
        return "implied" if now.implied else "added"
    same = before.kind == now.kind and before.content == now.content
    if not same or before.link != now.link or before.device != now.device:
        return "changed"
    return "unchanged" if before.metadata == now.metadata else "attributes"


# --- what directories take up -----------------------------------------------------------


def taken(top: Node, depth: int, *, files: bool) -> list[Taken]:
    """`top` and what is below it down to `depth`, each after what it holds; as du(1) counts.

    A file with several names counts where it is first met, in the order of names.
    """
    found: list[Taken] = []
    seen: set[int] = set()
    sums: dict[int, list[int]] = {}
    waiting = [(top, top.path, 0, False)]
    while waiting:
        node, path, level, is_done = waiting.pop()
        assert node.now is not None
        if not is_done:
            sums[id(node)] = [_once(node.now, seen), 1]
            waiting.append((node, path, level, True))
            prefix = path + b"/" if path else b""
            inside = [(each, prefix + each.name, level + 1, False) for each in node.visible()]
            waiting += reversed(inside)
            continue
        size, entries = sums.pop(id(node))
        if node is not top and node.parent is not None:
            above = sums[id(node.parent)]
            above[0], above[1] = above[0] + size, above[1] + entries
        if level <= depth and (files or node.now.kind == DIR or node is top):
            found.append(Taken(path, size, entries))
    return found


def _once(now: Version, seen: set[int]) -> int:
    if now.kind != FILE or id(now.body) in seen:
        return 0
    seen.add(id(now.body))
    return now.size
