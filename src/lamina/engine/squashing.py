"""`squash`: an image whose layers from one on are one layer, with the same tree."""

import stat
from collections.abc import Sequence
from contextlib import closing

from lamina.analyze.merged import MergedTree
from lamina.analyze.squash import changes, with_holes
from lamina.archive.diff import changed_entries
from lamina.archive.entry import DIR, Entry, EntryStream
from lamina.archive.results import Change
from lamina.engine.parts import Parts
from lamina.errors import LayerNotFound, UsageError
from lamina.fs.tree import TreeView
from lamina.images import edit
from lamina.layers.layer import Layer
from lamina.layers.source import EntrySource
from lamina.spec.imageconfig import ImageConfig
from lamina.values.digest import ChainID, ImageID
from lamina.values.reference import Reference


def squashed(
    parts: Parts,
    image: ImageID,
    layers: tuple[Layer, ...],
    tree: MergedTree,
    first: int,
    names: tuple[Reference, ...],
) -> ImageID:
    """Make the image; the layers below number `first` (the lowest is 0) stay and stay shared.

    The same image gives the same one again, byte for byte. Durable when this returns. Raises
    `UsageError` when there is no such layer.
    """
    if not 0 <= first < len(layers):
        raise UsageError(f"the image has {len(layers)} layers, and none is number {first + 1}")
    parent = layers[first - 1].chain_id if first else None
    config = parts.image_store.config(image)
    with parts.image_store.all_or_nothing():
        if not parts.layers.hold(layers[-1].chain_id):
            raise LayerNotFound(f"the image {image.short} was removed just now")
        made = _merged(parts, layers[-1].chain_id, parent, tree, first)
        comment = f"layers {first + 1} to {len(layers)} of {image} squashed"
        document = edit.squashed(config.document, first, made.diff_id, comment)
        found = parts.image_store.create(ImageConfig.of(document), names)
    parts.layers.barrier()
    return found


def _merged(
    parts: Parts, top: ChainID, parent: ChainID | None, tree: MergedTree, first: int
) -> Layer:
    with closing(parts.layers.view(top)) as view:
        entries = layer_entries(changes(tree, first), view, tree)
        return parts.layers.register_entries(parent, EntrySource(entries))


def layer_entries(found: Sequence[Change], view: TreeView, tree: MergedTree) -> EntryStream:
    """Changes as the members of a layer, and the root first.

    No change names that, and a layer may have given it an owner or a mode.
    """
    status = view.lstat(b"")
    if status is not None:
        mode, xattrs = stat.S_IMODE(status.st_mode), view.xattrs(b"")
        root = Entry(b"", DIR, mode, status.st_uid, status.st_gid, 0, status.st_mtime_ns)
        yield root._replace(xattrs=xattrs), None
    yield from with_holes(changed_entries(found, view), tree)
