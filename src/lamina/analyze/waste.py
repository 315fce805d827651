"""What of an image's bytes is wasted, by which instruction, and what would repair it. Pure.

Wasted is what layers store and nobody sees: it is counted once, and adds up with what is seen to
what is stored. Caches, build tools and copies are seen, so they are advice beside that figure.
"""

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from lamina.analyze import repair
from lamina.analyze.instruction import Step
from lamina.analyze.losses import Kept, Ledger, Loss, account
from lamina.analyze.merged import MergedTree
from lamina.analyze.paths import common
from lamina.values.digest import DiffID

_SHOWN = 10  # paths that a finding names
_LEAST = 4096  # bytes: below that no finding is worth its line

Kind = Literal["deleted", "overwritten", "attributes", "moved", "cache", "build-tool", "duplicate"]
WASTED: tuple[Kind, ...] = ("deleted", "overwritten", "attributes", "moved")


class LayerFacts(NamedTuple):
    """What is known of a layer beside its files; `shared` when another image has it, too."""

    diff_id: DiffID
    step: Step
    shared: bool


class PathSize(NamedTuple):
    """A path without a leading slash, and bytes."""

    path: bytes
    size: int


class Finding(NamedTuple):
    """One thing to repair, which would save `size` bytes.

    `layer` stored them (counted from 0, the lowest), `by` hid them (the same as `layer` for what
    is still seen). `where` is the path, or the folder of all `files` files; `paths` are the
    largest. `exact` findings are parts of the waste and do not overlap; others are advice.
    """

    kind: Kind
    size: int
    files: int
    layer: int
    by: int
    where: bytes
    paths: tuple[PathSize, ...]
    title: str
    repair: str

    @property
    def exact(self) -> bool:
        """Whether it is part of the waste."""
        return self.kind in WASTED


class LayerWaste(NamedTuple):
    """One layer's bytes: what it stores, what of it is seen, and what it hides of lower ones.

    `deleted`, `overwritten`, `attributes` and `moved` are what was stored here and is not seen,
    by what became of it; with `visible` they add up to `stored`.
    """

    diff_id: DiffID
    step: Step
    shared: bool
    stored: int
    visible: int
    deleted: int
    overwritten: int
    attributes: int
    moved: int
    hides: int


class Waste(NamedTuple):
    """The whole of an image; bytes as layers store them (no holes, hard links once).

    `unshared` is what of the waste lies in layers that no other image has: the rest would be
    saved in this image and stored anew beside the shared layer. `efficiency` is the seen part of
    what is stored, `dive_efficiency` the figure by dive's definition.
    """

    stored: int
    visible: int
    unshared: int
    dive_efficiency: float
    layers: tuple[LayerWaste, ...]
    findings: tuple[Finding, ...]

    @property
    def wasted(self) -> int:
        """Bytes that are stored and not seen."""
        return self.stored - self.visible

    @property
    def efficiency(self) -> float:
        """The seen part of what is stored, 1 for nothing."""
        return self.visible / self.stored if self.stored else 1.0


def waste(tree: MergedTree, layers: Sequence[LayerFacts]) -> Waste:
    """The waste of an image whose layers' facts are given lowest first."""
    return judged(account(tree), layers)


def judged(ledger: Ledger, layers: Sequence[LayerFacts]) -> Waste:
    """The waste that an account shows."""
    unshared = sum(loss.size for loss in ledger.losses if not layers[loss.layer].shared)
    found = [*_hidden(ledger, layers), *_seen(ledger, layers)]
    found.sort(key=lambda each: (not each.exact, -each.size, each.where))
    return Waste(
        sum(ledger.stored),
        sum(ledger.visible),
        unshared,
        ledger.dive,
        _layers(ledger, layers),
        tuple(found),
    )


def _layers(ledger: Ledger, layers: Sequence[LayerFacts]) -> tuple[LayerWaste, ...]:
    lost = [dict.fromkeys(WASTED, 0) for _ in layers]
    hides = [0] * len(layers)
    for loss in ledger.losses:
        lost[loss.layer][loss.manner] += loss.size
        hides[loss.by] += loss.size
    return tuple(
        LayerWaste(
            diff_id=facts.diff_id,
            step=facts.step,
            shared=facts.shared,
            stored=ledger.stored[number],
            visible=ledger.visible[number],
            deleted=lost[number]["deleted"],
            overwritten=lost[number]["overwritten"],
            attributes=lost[number]["attributes"],
            moved=lost[number]["moved"],
            hides=hides[number],
        )
        for number, facts in enumerate(layers)
    )


# --- findings ---------------------------------------------------------------------------


def _hidden(ledger: Ledger, layers: Sequence[LayerFacts]) -> Iterable[Finding]:
    """One finding for what one layer did to another's bytes in one manner."""
    groups: dict[tuple[object, ...], list[Loss]] = {}
    for loss in ledger.losses:
        title = loss.place.title if loss.place is not None else ""
        detail = loss.to if loss.manner == "attributes" else b""
        key = (loss.layer, loss.by, loss.manner, title, detail)
        groups.setdefault(key, []).append(loss)
    for losses in groups.values():
        first = losses[0]
        paths = [PathSize(loss.path, loss.size) for loss in losses]
        taken = first.manner in ("deleted", "moved")
        where = common(loss.top if taken else loss.path for loss in losses)
        source, cause = layers[first.layer].step, layers[first.by].step
        to = common(_target(loss) for loss in losses)
        case = repair.Case(first.manner, where, to, len(losses), first.by - first.layer)
        told = repair.hidden(case, source, cause, first.place)
        yield _finding(first.manner, first.layer, first.by, where, paths, told)


def _target(loss: Loss) -> bytes:
    """What a move made of the path that was moved as a whole."""
    if loss.manner != "moved":
        return loss.to
    inside = loss.path[len(loss.top) :]
    return loss.to.removesuffix(inside) if inside and loss.to.endswith(inside) else loss.to


def _seen(ledger: Ledger, layers: Sequence[LayerFacts]) -> Iterable[Finding]:
    """What an image could do without, by layer and kind of place; and copies, by layer."""
    placed: dict[tuple[int, str], list[Kept]] = {}
    for kept in ledger.expendable:
        assert kept.place is not None
        placed.setdefault((kept.layer, kept.place.title), []).append(kept)
    for (layer, _), found in placed.items():
        place = found[0].place
        assert place is not None
        paths = [PathSize(kept.path, kept.size) for kept in found]
        where = common(kept.path for kept in found)
        told = repair.expendable(place, where, len(found), layers[layer].step)
        yield _finding(place.need, layer, layer, where, paths, told)
    copies: dict[int, list[Kept]] = {}
    for kept in ledger.copies:
        copies.setdefault(kept.layer, []).append(kept)
    for layer, found in copies.items():
        paths = [PathSize(kept.path, kept.size) for kept in found]
        largest = max(found, key=lambda kept: kept.size)
        told = repair.duplicate(len(found), largest.path, largest.first)
        where = common(kept.path for kept in found)
        yield _finding("duplicate", layer, layer, where, paths, told)


def _finding(
    kind: Kind, layer: int, by: int, where: bytes, paths: list[PathSize], told: repair.Told
) -> Finding:
    size = sum(each.size for each in paths)
    largest = sorted(paths, key=lambda each: (-each.size, each.path))[:_SHOWN]
    return Finding(kind, size, len(paths), layer, by, where, tuple(largest), *told)


def worth_showing(found: Iterable[Finding], whole: int) -> list[Finding]:
    """Without advice of a few bytes: what is less than a thousandth of the image and 4 KiB."""
    least = max(_LEAST, whole // 1000)
    return [each for each in found if each.exact or each.size >= least]
