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


_Sums = dict[tuple[int, bool], list[int]]  # by layer and whether it is hidden: bytes, files


class _Cutter:
    def __init__(self, tree: MergedTree, ledger: Ledger) -> None:
        self._root = tree.root
        self._more: dict[int, list[_Piece]] = {}  # beside what is at a path now, by identity
        for loss in ledger.losses:
            node = tree.known(loss.path)
            self._more.setdefault(id(node), []).append(_Piece(loss.size, loss.layer, True))
        self._sizes: dict[int, int] = {}  # of directories, by identity
        self._measure()

    def _measure(self) -> None:
        """Find out what each directory holds, and which links stand for what lost its own name."""
        parents: list[Node] = []
        waiting = [self._root]
        named: set[int] = set()  # bodies of linked files that have the name they came with
        links: dict[int, Node] = {}
        while waiting:
            node = waiting.pop()
            now = node.now
            if now is not None and now.origin is not None:
                links.setdefault(id(now.origin), node)
            if node.children:
                parents.append(node)
                waiting += node.children.values()
        for node in self._everything() if links else ():
            if id(node.now) in links:
                named.add(id(node.now))
        for body, node in links.items():
            if body not in named and node.now is not None:
                piece = _Piece(node.now.body.stored, node.now.body.layer, False)
                self._more.setdefault(id(node), []).insert(0, piece)
        for node in reversed(parents):
            inside = sum(map(self._size, (node.children or {}).values()))
            self._sizes[id(node)] = inside + self._own(node)

    def _everything(self) -> Iterator[Node]:
        waiting = [self._root]
        while waiting:
            node = waiting.pop()
            yield node
            if node.children:
                waiting += node.children.values()

    def _own(self, node: Node) -> int:
        """The bytes at a path itself. What is no file, and a further name, stores none."""
        now, more = node.now, self._more.get(id(node))
        size = now.stored if now is not None else 0
        return size + sum(piece.size for piece in more) if more else size

    def _pieces(self, node: Node) -> list[_Piece]:
        """What lies at a path itself."""
        now = node.now
        seen = [_Piece(now.stored, now.layer, False)] if now is not None and now.stored else []
        return seen + self._more.get(id(node), [])

    def _size(self, node: Node) -> int:
        return self._sizes[id(node)] if node.children else self._own(node)

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
            return _file(node.name, self._pieces(node))
        chosen = opened.get(id(node), [])
        inside = [self._area(child, opened) for child in chosen]
        inside += self._rest(node, {id(child) for child in chosen})
        files = sum(each.files for each in inside)
        return Area(node.name, self._size(node), FOLDER, False, files, tuple(inside))

    def _rest(self, node: Node, taken: set[int]) -> list[Area]:
        """What lies in a directory, at any depth, and in no area of its own: one for each layer."""
        sums: _Sums = {}
        self._add(node, sums)
        waiting = [each for each in (node.children or {}).values() if id(each) not in taken]
        while waiting:
            at = waiting.pop()
            self._add(at, sums)
            if at.children:
                waiting += at.children.values()
        return [
            Area(b"", size, layer, hidden, files)
            for (layer, hidden), (size, files) in sorted(sums.items())
        ]

    def _add(self, node: Node, sums: _Sums) -> None:
        """Count what lies at a path itself."""
        now, more = node.now, self._more.get(id(node))
        if now is not None and now.stored:
            found = sums.setdefault((now.layer, False), [0, 0])
            found[0] += now.stored
            found[1] += 1
        for piece in more or ():
            found = sums.setdefault((piece.layer, piece.hidden), [0, 0])
            found[0] += piece.size
            found[1] += 1


def _file(name: bytes, pieces: list[_Piece]) -> Area:
    """A file; with what it was before, if that is stored, too."""
    if len(pieces) == 1:
        return Area(name, *pieces[0], 1)
    inside = tuple(Area(b"", *piece, 1) for piece in pieces)
    return Area(name, sum(piece.size for piece in pieces), VERSIONS, False, len(pieces), inside)
