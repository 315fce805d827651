"""What each layer of an image must still carry when nothing hidden is carried. Pure.

Every path that is seen goes to the layer that brought it, every name that is gone to the layer
that took it, and only if the layers that stay have it. The form is the canonical diff's, as for
`squash`.
"""

from collections.abc import Mapping
from typing import NamedTuple

from lamina.analyze.losses import Ledger
from lamina.analyze.merged import Gone, MergedTree, Node, Version
from lamina.analyze.squash import changes
from lamina.archive.entry import DIR
from lamina.archive.results import Change


class Slim(NamedTuple):
    """The layers below number `first` stay; `layers` are what those from it on carry, lowest first.

    A layer that is None has nothing left. `links` are further names of files, each by the name
    that has the bytes, in the same layer or a lower one.
    """

    first: int
    layers: tuple[tuple[Change, ...] | None, ...]
    links: Mapping[bytes, bytes]


def lowest(ledger: Ledger, kept: int) -> int | None:
    """The lowest layer from number `kept` on that stores hidden bytes; None when none does."""
    return min((loss.layer for loss in ledger.losses if loss.layer >= kept), default=None)


def slim(tree: MergedTree, first: int) -> Slim:
    """What the layers from number `first` (the lowest is 0) on carry."""
    carried: list[dict[bytes, Change]] = [{} for _ in range(first, tree.layers)]
    for change in changes(tree, first):
        node = tree.known(change.path)
        assert node is not None
        layer = _layer(node, change)
        if layer >= first:  # else a parent, which is named again where something in it changed
            carried[layer - first][change.path] = change
    for found in carried:
        _add_parents(found)
    root = tree.root.now.layer if tree.root.now is not None else -1
    layers = (
        tuple(sorted(found.values(), key=_by_parts)) if found or number == root else None
        for number, found in enumerate(carried, first)
    )
    return Slim(first, tuple(layers), _links(tree))


def _layer(node: Node, change: Change) -> int:
    """The layer that a change belongs to."""
    if change.kind != "D":
        return node.now.layer if node.now is not None else -1
    return max(step.layer for step in node.steps if isinstance(step, Gone))


def _add_parents(found: dict[bytes, Change]) -> None:
    for path in list(found):
        folder = path.rpartition(b"/")[0]
        while folder and folder not in found:
            found[folder] = Change("C", folder)
            folder = folder.rpartition(b"/")[0]


def _by_parts(change: Change) -> list[bytes]:
    return change.path.split(b"/")


def _links(tree: MergedTree) -> dict[bytes, bytes]:
    """Of every file with several names that are seen, the further ones."""
    linked = {
        id(node.now.origin)
        for _, node in tree.nodes()
        if node.now is not None and node.now.origin is not None
    }
    names: dict[int, list[tuple[int, list[bytes], bytes]]] = {}
    for path, node in tree.nodes() if linked else ():
        now = node.now
        if now is not None and now.kind != DIR and id(now.body) in linked:
            names.setdefault(id(now.body), []).append(_place(now, path))
    links = {}
    for each in names.values():
        (_, _, first), *further = sorted(each)
        links.update({path: first for _, _, path in further})
    return links


def _place(now: Version, path: bytes) -> tuple[int, list[bytes], bytes]:
    return now.layer, path.split(b"/"), path
