"""`slim`: an image with the same tree, whose layers carry nothing hidden."""

from collections.abc import Mapping
from contextlib import closing
from typing import NamedTuple

from lamina.analyze.compare import files
from lamina.analyze.indexed import merged_tree
from lamina.analyze.losses import account
from lamina.analyze.merged import MergedTree
from lamina.analyze.slim import Slim, lowest, slim
from lamina.archive.entry import HARDLINK, EntryStream
from lamina.engine.image import Image
from lamina.engine.parts import Parts
from lamina.engine.squashing import layer_entries
from lamina.errors import LayerNotFound, StorageError, UsageError
from lamina.fs.inroot import shown
from lamina.images import edit
from lamina.layers.layer import Layer
from lamina.layers.source import EntrySource
from lamina.spec.imageconfig import ImageConfig
from lamina.values.digest import DiffID, ImageID
from lamina.values.reference import Reference


class Slimmed(NamedTuple):
    """The image; how many layers stayed as they are; the bytes all layers store, then and now.

    `left` are hidden bytes in layers that stayed because other images have them.
    """

    image: ImageID
    kept: int
    before: int
    after: int
    left: int


def slimmed(parts: Parts, image: Image, first: int | None, names: tuple[Reference, ...]) -> Slimmed:
    """Make the image; without `first` the layers stay that other images have.

    Those below the first with something hidden stay in any case. The same image over the same
    layers gives the same one again, byte for byte. Durable when this returns. Raises `UsageError`
    when there is no layer `first`, or `StorageError`; nothing is made then.
    """
    layers, tree = image.layers, image.tree()
    if first is not None and not 0 <= first < len(layers):
        raise UsageError(f"the image has {len(layers)} layers, and none is number {first + 1}")
    kept = first if first is not None else _shared(image)
    ledger = account(tree)
    start = lowest(ledger, kept)
    before = sum(ledger.stored)
    if start is None:
        for name in names:
            parts.image_store.tag(image.id, name)
        return Slimmed(image.id, len(layers), before, before, before - sum(ledger.visible))
    made, stored = _made(parts, image, tree, slim(tree, start), names)
    below = sum(ledger.stored[:start])
    left = below - sum(ledger.visible[:start])
    return Slimmed(made, start, before, below + stored, left)


def _shared(image: Image) -> int:
    """How many layers, from below, another image has."""
    shared = image.shared()
    return sum(1 for layer in image.layers if layer.chain_id in shared)


def _made(
    parts: Parts, image: Image, tree: MergedTree, plan: Slim, names: tuple[Reference, ...]
) -> tuple[ImageID, int]:
    """The image, and the bytes that its new layers store."""
    layers = image.layers
    with parts.image_store.all_or_nothing():
        if not parts.layers.hold(layers[-1].chain_id):
            raise LayerNotFound(f"the image {image.short_id} was removed just now")
        new = _rewritten(parts, layers, plan, tree)
        chain = [*layers[: plan.first], *(each for each in new if each is not None)]
        again = merged_tree(parts.layers, chain)
        _assert_same(tree, again)
        document = edit.slimmed(image.config.document, plan.first, _diff_ids(new))
        found = parts.image_store.create(ImageConfig.of(document), names)
    parts.layers.barrier()
    return found, sum(account(again).stored[plan.first :])


def _diff_ids(layers: list[Layer | None]) -> list[DiffID | None]:
    return [each.diff_id if each is not None else None for each in layers]


def _rewritten(
    parts: Parts, layers: tuple[Layer, ...], plan: Slim, tree: MergedTree
) -> list[Layer | None]:
    new: list[Layer | None] = []
    parent = layers[plan.first - 1].chain_id if plan.first else None
    with closing(parts.layers.view(layers[-1].chain_id)) as view:
        for changes in plan.layers:
            if changes is None:
                new.append(None)
                continue
            entries = _linked(layer_entries(changes, view, tree), plan.links)
            made = parts.layers.register_entries(parent, EntrySource(entries))
            parent = made.chain_id
            new.append(made)
    return new


def _linked(entries: EntryStream, links: Mapping[bytes, bytes]) -> EntryStream:
    """The same entries; a file whose bytes a name in any layer has already is a link to that."""
    for entry, opener in entries:
        first = links.get(entry.name)
        if first is None:
            yield entry, opener
        else:
            yield entry._replace(kind=HARDLINK, link=first, size=0, xattrs=(), sparse=None), None


def _assert_same(before: MergedTree, after: MergedTree) -> None:
    different = files(before, after)
    if different:
        where = shown(different[0].path)
        raise StorageError(f"the slimmed layers would show another {where}; nothing was made")
