"""The bytes of an image as nested areas: directories, files, layers; hidden bytes where they lay.

All areas together are all bytes that the layers store. An image has more files than a picture has
room for, so the largest directories are opened first, and what is small in one is one area for
each layer. Pure; knows nothing of pictures.
"""

from collections.abc import Iterator
from heapq import heappop, heappush
from typing import NamedTuple

from lamina.analyze.losses import Ledger
from lamina.analyze.merged import MergedTree, Node
from lamina.archive.entry import FILE

FOLDER, VERSIONS = -1, -2
_OPENED = 60  # areas of one directory
_DEPTH = 60  # directories within one another that are opened
_SMALL = 500  # a part of a directory that is too small for an area


class Area(NamedTuple):
    """Some bytes: a directory with what it holds, a file, or `files` small ones together.

    `name` is "" for these. `layer` counts from 0, the lowest; it is `FOLDER` for a directory and
    `VERSIONS` for a file of which several versions are stored, which are in it. What is `hidden`
    was stored there by the layer, and is not seen.
    """

    name: bytes
    size: int
    layer: int
    hidden: bool
    files: int
    inside: tuple["Area", ...] = ()


class _Piece(NamedTuple):
    size: int
    layer: int
    hidden: bool


def areas(tree: MergedTree, ledger: Ledger, most: int) -> Area:
    """The root as an area, with about `most` areas in it."""
    return _Cutter(tree, ledger).cut(most)


class _Cutter:
    def __init__(self, tree: MergedTree, ledger: Ledger) -> None:
        self._root = tree.root
        self._hidden: dict[int, list[_Piece]] = {}
        for loss in ledger.losses:
            node = tree.known(loss.path)
            piece = _Piece(loss.size, loss.layer, True)
            self._hidden.setdefault(id(node), []).append(piece)
        self._links: dict[int, _Piece] = {}  # names that stand for a body whose own name is gone
        self._sizes: dict[int, int] = {}  # of directories, by identity
        self._measure()

    def _measure(self) -> None:
        """Find out what each directory holds, and who stands for what."""
        parents: list[Node] = []
        waiting = [self._root]
        named: set[int] = set()  # bodies that have the name they came with
        links: dict[int, Node] = {}
        while waiting:
            node = waiting.pop()
            now = node.now
            if now is not None and now.kind == FILE and now.stored:
                named.add(id(now))
            elif now is not None and now.origin is not None and now.origin.stored:
                links.setdefault(id(now.origin), node)
            if node.children:
                parents.append(node)
                waiting += node.children.values()
        for body, node in links.items():
            if body not in named and node.now is not None:
                now = node.now.body
                self._links[id(node)] = _Piece(now.stored, now.layer, False)
        for node in reversed(parents):
            inside = sum(self._size(child) for child in (node.children or {}).values())
            self._sizes[id(node)] = inside + sum(piece.size for piece in self._own(node))

    def _own(self, node: Node) -> Iterator[_Piece]:
        """What lies at a path itself."""
        now = node.now
        if now is not None and now.kind == FILE and now.stored:
            yield _Piece(now.stored, now.layer, False)
        elif id(node) in self._links:
            yield self._links[id(node)]
        yield from self._hidden.get(id(node), ())

    def _size(self, node: Node) -> int:
        known = self._sizes.get(id(node))
        return known if known is not None else sum(piece.size for piece in self._own(node))

    def cut(self, most: int) -> Area:
        """Open directories, the largest first, until there are `most` areas."""
        opened: dict[int, list[Node]] = {}
        waiting = [(-self._size(self._root), 0, 0, self._root)]
        number = 0
        while waiting and most > 0:
            _, depth, _, node = heappop(waiting)
            chosen = opened[id(node)] = self._chosen(node)
            most -= len(chosen) + 1
            for child in chosen if depth < _DEPTH else ():
                if child.children:
                    number += 1
                    heappush(waiting, (-self._size(child), depth + 1, number, child))
        return self._area(self._root, opened)

    def _chosen(self, node: Node) -> list[Node]:
        """What is large enough in a directory to be an area of its own, the largest first."""
        least = max(self._size(node) // _SMALL, 1)
        large = [each for each in (node.children or {}).values() if self._size(each) >= least]
        large.sort(key=lambda each: (-self._size(each), each.name))
        return large[:_OPENED]

    def _area(self, node: Node, opened: dict[int, list[Node]]) -> Area:
        """An area with all below it; directories are as deep as those that were opened."""
        if not node.children:
            return _file(node.name, list(self._own(node)))
        chosen = opened.get(id(node), [])
        inside = [self._area(child, opened) for child in chosen]
        taken = {id(child) for child in chosen}
        rest: dict[tuple[int, bool], list[int]] = {}
        for piece in self._rest(node, taken):
            sums = rest.setdefault((piece.layer, piece.hidden), [0, 0])
            sums[0] += piece.size
            sums[1] += 1
        inside += [
            Area(b"", size, layer, hidden, files)
            for (layer, hidden), (size, files) in sorted(rest.items())
        ]
        files = sum(each.files for each in inside)
        return Area(node.name, self._size(node), FOLDER, False, files, tuple(inside))

    def _rest(self, node: Node, taken: set[int]) -> Iterator[_Piece]:
        """What lies in a directory, at any depth, and in no area of its own."""
        yield from self._own(node)
        waiting = [each for each in (node.children or {}).values() if id(each) not in taken]
        while waiting:
            at = waiting.pop()
            yield from self._own(at)
            if at.children:
                waiting += at.children.values()


def _file(name: bytes, pieces: list[_Piece]) -> Area:
    """A file; with what it was before, if that is stored, too."""
    if len(pieces) == 1:
        return Area(name, *pieces[0], 1)
    inside = tuple(Area(b"", *piece, 1) for piece in pieces)
    return Area(name, sum(piece.size for piece in pieces), VERSIONS, False, len(pieces), inside)
