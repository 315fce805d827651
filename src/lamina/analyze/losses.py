"""What becomes of every stored byte of an image: seen in the end, or hidden by a later step. Pure.

The unit is a file's body as its layer's tar stores it: holes count nothing, a file with several
names counts once and is seen as long as one of them is. So the visible bytes and the losses add
up to what all layers store.
"""

from collections.abc import Hashable, Iterator
from typing import Literal, NamedTuple

from lamina.analyze import places
from lamina.analyze.merged import REPLACED, WHITEOUT, Gone, MergedTree, Node, Version
from lamina.analyze.places import Place
from lamina.archive.entry import DIR, FILE

Manner = Literal["deleted", "overwritten", "attributes", "moved"]


class Loss(NamedTuple):
    """One body that nobody sees: `layer` stored its `size` bytes, `by` hid them.

    Manner `attributes`: the same content was stored once more with other metadata (`to` names
    what differs); `moved`: it was once more at the path `to`. `top` is what was deleted.
    """

    path: bytes
    size: int
    layer: int
    by: int
    manner: Manner
    top: bytes
    to: bytes
    place: Place | None


class Kept(NamedTuple):
    """A body that is seen: its path, the layer that stored it, its bytes; `first` for a copy."""

    path: bytes
    size: int
    layer: int
    place: Place | None
    first: bytes


class Ledger(NamedTuple):
    """The whole account. `visible` and `stored` are bytes by layer.

    `expendable` lies in places that an image can do without, `copies` has every file whose
    content is there already under another name. `dive` is dive's efficiency.
    """

    stored: tuple[int, ...]
    visible: tuple[int, ...]
    losses: tuple[Loss, ...]
    expendable: tuple[Kept, ...]
    copies: tuple[Kept, ...]
    dive: float


def account(tree: MergedTree) -> Ledger:
    """Account for every byte of a merged tree."""
    return _Accountant(tree).ledger()


class _Hidden(NamedTuple):
    """A body that no longer has the name it came with."""

    path: bytes
    body: Version
    step: Version | Gone
    place: Place | None


class _Accountant:
    """One walk over every path that ever was, and then what depends on other paths."""

    def __init__(self, tree: MergedTree) -> None:
        self._tree = tree
        self._visible = [0] * tree.layers
        self._stored = [0] * tree.layers
        self._hidden: list[_Hidden] = []
        self._alive: dict[int, Version] = {}  # bodies that are seen by a further name
        self._unlinked: dict[int, Version | Gone] = {}  # what took the last further name away
        self._first: dict[Hashable, Node] = {}
        self._expendable: list[Kept] = []
        self._copies: list[Kept] = []
        self._least = self._gathered = 0  # dive's two sums

    def ledger(self) -> Ledger:
        waiting: list[tuple[bytes, Node, Place | None]] = [(b"", self._tree.root, None)]
        while waiting:
            path, node, place = waiting.pop()
            inside = path + b"/" if path else b""
            for name, child in (node.children or {}).items():
                if child.children:
                    below = inside + name
                    waiting.append((below, child, places.directory(below, place)))
                if child.past is not None:
                    self._history(child, inside, place)
                elif child.now is not None and child.now.kind == FILE:
                    self._least += child.now.size if child.now.origin is None else 0
                    self._gathered += child.now.size if child.now.origin is None else 0
                    self._seen(child, child.now, inside, place)
        losses = tuple(self._losses())
        dive = self._least / self._gathered if self._gathered else 1.0
        return Ledger(
            tuple(self._stored),
            tuple(self._visible),
            losses,
            tuple(self._expendable),
            tuple(self._copies),
            dive,
        )

    # --- the walk -----------------------------------------------------------------------

    def _seen(self, node: Node, now: Version, inside: bytes, place: Place | None) -> None:
        """A file that is there now."""
        if now.origin is not None:
            self._alive[id(now.origin)] = now.origin
            return
        if not now.stored:
            return
        self._stored[now.layer] += now.stored
        self._visible[now.layer] += now.stored
        if place is None and inside == b"usr/bin/":
            place = places.program(inside + node.name)
        if place is not None:
            self._expendable.append(Kept(inside + node.name, now.stored, now.layer, place, b""))
        first = self._first.setdefault(now.digest if now.sparse is None else now.content, node)
        if first is not node:
            self._copy(first, node, now, place)

    def _copy(self, first: Node, node: Node, now: Version, place: Place | None) -> None:
        """Of two files of equal content the one in the upper layer is the copy."""
        other = first.now
        assert other is not None
        if other.layer > now.layer:
            self._first[now.digest if now.sparse is None else now.content] = node
            first, node, now = node, first, other
        self._copies.append(Kept(node.path, now.stored, now.layer, place, first.path))

    def _history(self, node: Node, inside: bytes, place: Place | None) -> None:
        """A path of which there is more than one thing to tell."""
        steps = node.steps
        path = inside + node.name
        for number, step in enumerate(steps):
            if isinstance(step, Gone) or step.kind != FILE:
                continue
            if step is node.now:
                self._seen(node, step, inside, place)
            elif step.origin is not None:
                self._note_unlinked(step.origin, steps[number + 1])
            elif step.stored:
                self._stored[step.layer] += step.stored
                self._hidden.append(_Hidden(path, step, steps[number + 1], place))
        sizes = _dive_sizes(path, steps)
        self._least += min(sizes, default=0)
        self._gathered += sum(sizes)

    def _note_unlinked(self, origin: Version, step: Version | Gone) -> None:
        known = self._unlinked.get(id(origin))
        if known is None or known.layer < step.layer:
            self._unlinked[id(origin)] = step

    # --- what is lost, and how ----------------------------------------------------------

    def _losses(self) -> Iterator[Loss]:
        lost = []
        for each in self._hidden:
            if id(each.body) in self._alive:
                self._visible[each.body.layer] += each.body.stored
                continue
            last = self._unlinked.get(id(each.body))
            later = last is not None and last.layer > each.step.layer
            lost.append(each._replace(step=last) if last is not None and later else each)
        moves = self._moves(lost)
        for each in lost:
            yield _loss(each, moves.get((each.step.layer, each.body.content), b""))

    def _moves(self, lost: list[_Hidden]) -> dict[tuple[int, Hashable], bytes]:
        """Where content that a layer deleted appeared again in that layer."""
        wanted = {
            (each.step.layer, each.body.content) for each in lost if isinstance(each.step, Gone)
        }
        layers = {layer for layer, _ in wanted}
        found: dict[tuple[int, Hashable], bytes] = {}
        for path, node in self._tree.nodes() if wanted else ():
            for step in node.steps if node.past else (node.now,):
                if not isinstance(step, Version) or step.layer not in layers or not step.stored:
                    continue
                key = (step.layer, step.content)
                if key in wanted:
                    found.setdefault(key, path)
        return found


def _loss(hidden: _Hidden, moved_to: bytes) -> Loss:
    body, step = hidden.body, hidden.step
    path = hidden.path
    manner: Manner = "overwritten"
    top, to = path, b""
    if isinstance(step, Gone):
        top = step.top if step.how == WHITEOUT else path
        if moved_to and body.layer != step.layer:
            manner, to = "moved", moved_to
        elif step.how != REPLACED:
            manner = "deleted"
    elif step.kind == FILE and step.origin is None and step.content == body.content:
        manner, to = "attributes", _difference(body, step)
    return Loss(path, body.stored, body.layer, step.layer, manner, top, to, hidden.place)


def _difference(old: Version, new: Version) -> bytes:
    """What of a file's metadata a copy of equal content changed."""
    names = []
    if (old.uid, old.gid) != (new.uid, new.gid):
        names.append(b"owner")
    if old.mode != new.mode:
        names.append(b"mode")
    if old.xattrs != new.xattrs:
        names.append(b"attributes")
    if not names and old.mtime_ns != new.mtime_ns:
        names.append(b"time")
    return b", ".join(names) or b"nothing"


def _dive_sizes(path: bytes, steps: list[Version | Gone]) -> list[int]:
    """The sizes at which dive finds a path: once for each layer that has it, or its whiteout.

    A deleted directory that a member named counts as large as it was, any other and a deleted file
    as nothing; directories, links and opaque markers count nothing (dive, filetree/efficiency.go).
    """
    found: dict[tuple[int, bool], int] = {}
    was_directory = False
    for step in steps:
        if isinstance(step, Gone):
            if step.how == WHITEOUT and step.top == path:
                found[step.layer, True] = step.size if was_directory else 0
            continue
        was_directory = step.kind == DIR and not step.implied
        if step.kind != DIR:
            is_file = step.kind == FILE and step.origin is None
            found[step.layer, False] = step.size if is_file else 0
    return list(found.values())
