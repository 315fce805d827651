"""What layers from one on changed together, told by the merged tree; no content is compared. Pure.

The form is the canonical diff's (docs/format/layer-semantics.md): sorted, parents present, a
deletion as its name, what is as it was left out. A directory's time counts here, so that the tree
over the new layer is the old tree in every detail that a layer carries. So do the holes of files:
as their layers' tars tell them, not as a file system keeps them, which is not the same on any two.
"""

from collections.abc import Iterator

from lamina.analyze.merged import MergedTree, Node, Version
from lamina.archive.entry import DIR, FILE, EntryStream
from lamina.archive.results import Change


def changes(tree: MergedTree, first: int) -> list[Change]:
    """What the layers from number `first` (the lowest is 0) on changed over those below."""
    found = {change.path: change for change in _changes(tree, first)}
    for path in list(found):
        folder = path.rpartition(b"/")[0]
        while folder and folder not in found:
            found[folder] = Change("C", folder)
            folder = folder.rpartition(b"/")[0]
    return sorted(found.values(), key=lambda each: each.path.split(b"/"))


def _changes(tree: MergedTree, first: int) -> Iterator[Change]:
    waiting: list[tuple[bytes, Node]] = [(b"", tree.root)]
    while waiting:
        folder, node = waiting.pop()
        prefix = folder + b"/" if folder else b""
        for name, child in (node.children or {}).items():
            path = prefix + name
            below = _below(child, first)
            if child.now is None:
                if below is not None:
                    yield Change("D", path)
                continue
            if child.now.layer >= first and (below is None or not _same(below, child.now)):
                yield Change("A" if below is None else "C", path)
            if child.now.kind == DIR:
                waiting.append((path, child))


def _below(node: Node, first: int) -> Version | None:
    """What the layers below number `first` show at a path."""
    last = None
    for step in node.steps:
        if step.layer < first:
            last = step
    return last if isinstance(last, Version) else None


def _same(below: Version, now: Version) -> bool:
    return (
        below.kind == now.kind
        and below.content == now.content
        and below.metadata == now.metadata
        and below.mtime_ns == now.mtime_ns
        and below.link == now.link
        and below.device == now.device
        and (now.origin is None or now.body is below.body)
    )


def with_holes(entries: EntryStream, tree: MergedTree) -> EntryStream:
    """The same entries; a file that came with holes has them again."""
    for entry, opener in entries:
        node = tree.known(entry.name) if entry.kind == FILE else None
        now = node.now if node is not None else None
        yield entry._replace(sparse=now.sparse) if now is not None else entry, opener
