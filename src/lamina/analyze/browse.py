"""Walking through an image's tree as one layer left it, with what that layer did. Pure.

Knows rows, not screens: which directories are open, where the cursor is, what fits a search.
"""

from collections.abc import Iterator
from typing import NamedTuple

from lamina.analyze.merged import Gone, MergedTree, Node, Version
from lamina.archive.entry import DIR, FILE

ADDED, CHANGED, REMOVED, INSIDE, SAME = "A", "C", "D", "·", " "


class Row(NamedTuple):
    """One line: a path `depth` directories below the root, its mark and its bytes."""

    node: Node
    depth: int
    mark: str
    size: int
    is_open: bool


class Browser:
    """A tree that is walked through; a new look at it for each layer."""

    def __init__(self, tree: MergedTree) -> None:
        self._tree = tree
        self._open = {id(tree.root)}
        self._sizes: dict[int, int] = {}
        self._touched: set[int] = set()
        self.by_size = False
        self.only_changes = False
        self.layer = max(tree.layers - 1, 0)
        self.at = 0
        self.rows: list[Row] = []
        self.look(self.layer)

    # --- what is seen -------------------------------------------------------------------

    def look(self, layer: int) -> None:
        """See the tree as this layer left it; the cursor stays on its path where that is there."""
        self.layer = min(max(layer, 0), max(self._tree.layers - 1, 0))
        self._measure()
        self._list(self.current)

    @property
    def current(self) -> Node | None:
        """What the cursor is on."""
        return self.rows[self.at].node if self.rows else None

    @property
    def total(self) -> int:
        """The bytes of all files as of this layer."""
        return self._sizes.get(id(self._tree.root), 0)

    def version(self, node: Node) -> Version | None:
        """What is at a path as of this layer."""
        step = self._step(node)
        return step if isinstance(step, Version) else None

    def _step(self, node: Node) -> Version | Gone | None:
        if node.past is None:
            return node.now if node.now is not None and node.now.layer <= self.layer else None
        last = None
        for step in node.steps:
            if step.layer > self.layer:
                break
            last = step
        return last

    def _mark(self, node: Node) -> str:
        """What this layer did to a path."""
        steps = [step for step in node.steps if step.layer <= self.layer]
        if not steps or steps[-1].layer != self.layer:
            return INSIDE if id(node) in self._touched else SAME
        if isinstance(steps[-1], Gone):
            return REMOVED
        before = [step for step in steps if step.layer < self.layer]
        if not before or isinstance(before[-1], Gone):
            return ADDED
        if steps[-1].kind == DIR and _same(before[-1], steps[-1]):
            return INSIDE if id(node) in self._touched else SAME
        return CHANGED

    def _measure(self) -> None:
        """What directories hold as of this layer, and which hold something that it changed."""
        order: list[Node] = []
        waiting = [self._tree.root]
        while waiting:
            node = waiting.pop()
            order.append(node)
            if node.children:
                waiting += node.children.values()
        sizes: dict[int, int] = {}
        touched: set[int] = set()
        self._sizes, self._touched = sizes, touched
        for node in reversed(order):
            step = self._step(node)
            size = step.size if isinstance(step, Version) and _counts(step) else 0
            if node.children:
                sizes[id(node)] = size = sizes.get(id(node), 0) + size
            parent = node.parent
            if parent is None:
                continue
            if size:
                sizes[id(parent)] = sizes.get(id(parent), 0) + size
            if id(node) in touched or (step is not None and step.layer == self.layer):
                touched.add(id(parent))

    def _size(self, node: Node) -> int:
        if node.children:
            return self._sizes.get(id(node), 0)
        version = self.version(node)
        return version.size if version is not None and version.kind == FILE else 0

    def _list(self, current: Node | None) -> None:
        self.rows = list(self._lines())
        places = {id(row.node): number for number, row in enumerate(self.rows)}
        while current is not None and id(current) not in places:
            current = current.parent
        self.at = places.get(id(current), 0)

    def _lines(self) -> Iterator[Row]:
        waiting = [(child, 0) for child in reversed(self._inside(self._tree.root))]
        while waiting:
            node, depth = waiting.pop()
            is_open = id(node) in self._open and bool(node.children)
            yield Row(node, depth, self._mark(node), self._size(node), is_open)
            if is_open:
                waiting += [(child, depth + 1) for child in reversed(self._inside(node))]

    def _inside(self, node: Node) -> list[Node]:
        """What is listed of a directory: what is there, and what this layer took away."""
        found = []
        for child in (node.children or {}).values():
            step = self._step(child)
            if step is None or (isinstance(step, Gone) and step.layer != self.layer):
                continue
            if self.only_changes and step.layer != self.layer and id(child) not in self._touched:
                continue
            found.append(child)
        if self.by_size:
            return sorted(found, key=lambda each: (-self._size(each), each.name))
        return sorted(found, key=lambda each: each.name)

    # --- going about --------------------------------------------------------------------

    def move(self, lines: int) -> None:
        """Go up or down."""
        self.at = min(max(self.at + lines, 0), max(len(self.rows) - 1, 0))

    def enter(self) -> None:
        """Open the directory under the cursor, or go into one that is open."""
        if not self.rows or not self.rows[self.at].node.children:
            return
        row = self.rows[self.at]
        if row.is_open:
            self.move(1)
            return
        self._open.add(id(row.node))
        self._list(row.node)

    def leave(self) -> None:
        """Close the directory under the cursor, or go to the one it is in."""
        if not self.rows:
            return
        row = self.rows[self.at]
        if row.is_open:
            self._open.discard(id(row.node))
            self._list(row.node)
        else:
            self._list(row.node.parent)

    def sort(self) -> None:
        """By size, or by name again."""
        self.by_size = not self.by_size
        self._list(self.current)

    def narrow(self) -> None:
        """Show only what this layer changed, or everything again."""
        self.only_changes = not self.only_changes
        self._list(self.current)

    def search(self, text: bytes) -> bool:
        """Go to the next path, after the cursor and then from the top, whose name has `text`."""
        wanted = text.lower()
        start = self.current
        leading = self._leading(wanted, start)
        passed = start is None
        first: Node | None = None
        for node in self._within(leading):
            if wanted in node.name.lower():
                if passed:
                    return self._reveal(node)
                first = first or node
            passed = passed or node is start
        return self._reveal(first) if first is not None else False

    def _leading(self, wanted: bytes, start: Node | None) -> set[int]:
        """Which nodes fit, or are `start`, or hold one of these: in no order, for that is dear."""
        leading: set[int] = set()
        waiting = [self._tree.root]
        while waiting:
            node = waiting.pop()
            if node.children:
                waiting += node.children.values()
            if node is start or wanted in node.name.lower():
                at: Node | None = node
                while at is not None and id(at) not in leading:
                    leading.add(id(at))
                    at = at.parent
        return leading

    def _within(self, leading: set[int]) -> Iterator[Node]:
        """Those of these nodes that are there, in the order of the lines."""
        waiting = [self._tree.root]
        while waiting:
            node = waiting.pop()
            if node is not self._tree.root:
                yield node
            if node.children:
                inside = self._inside(node)
                waiting += [each for each in reversed(inside) if id(each) in leading]

    def _reveal(self, node: Node) -> bool:
        at = node.parent
        while at is not None:
            self._open.add(id(at))
            at = at.parent
        self._list(node)
        return True


def _counts(version: Version) -> bool:
    return version.kind == FILE and version.origin is None


def _same(before: Version | Gone, now: Version) -> bool:
    return (
        isinstance(before, Version) and before.kind == now.kind and before.metadata == now.metadata
    )
