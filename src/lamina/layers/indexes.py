"""Where the index of each layer lies: `index/<diff id>`, as a rule one for all layers of that tar.

Over another base the same tar may land elsewhere (a link below leads on) or destroy other files
of its own. A layer whose index would not be the one that is there keeps its own beside it,
`index/<diff id>.<layer id>`.

What an index says of files that the layer destroyed itself depends on the driver. Where another
driver would have another one, it lies at `index/<layer id>.<driver>` and counts from the moment
on at which the layer's row says that driver.
"""

import os

from lamina.fs.atomic import unlink_if_there
from lamina.metadata.layers import LayerRow
from lamina.metadata.root import StoreRoot
from lamina.values.digest import DiffID
from lamina.values.ids import LayerID


def staged(root: StoreRoot, row: LayerRow) -> str:
    """Where the index of a layer grows while the layer is being made."""
    return root.folder("staging", f"{row.id}.index")


def path(root: StoreRoot, row: LayerRow) -> str:
    """The index of a layer that is in place."""
    assert row.diff_id is not None
    moved = root.folder("index", moved_name(row.id, row.driver))
    if os.path.lexists(moved):
        return moved
    own = _own(root, row, row.diff_id)
    return own if os.path.lexists(own) else root.folder("index", row.diff_id.hex)


def place(root: StoreRoot, row: LayerRow, diff_id: DiffID) -> None:
    """Put the staged index where `path` will find it."""
    import filecmp  # most commands make no layer

    grown, common = staged(root, row), root.folder("index", diff_id.hex)
    if not os.path.exists(common):
        os.rename(grown, common)
    elif filecmp.cmp(grown, common, shallow=False):
        os.unlink(grown)
    else:
        os.rename(grown, _own(root, row, diff_id))


def drop(root: StoreRoot, row: LayerRow, *, last: bool) -> None:
    """Take away a layer's own index; with `last` also the one of all layers of that tar."""
    assert row.diff_id is not None
    moved = root.folder("index", moved_name(row.id, row.driver))
    names = [_own(root, row, row.diff_id), moved]
    if last:
        names.append(root.folder("index", row.diff_id.hex))
    for name in names:
        unlink_if_there(name)


def names(row: LayerRow) -> tuple[str, ...]:
    """What may lie in `index/` because of a layer."""
    if row.diff_id is None:
        return ()
    own = f"{row.diff_id.hex}.{row.id}"
    return row.diff_id.hex, own, moved_name(row.id, row.driver)


def moved_name(layer: LayerID, driver: str) -> str:
    """What the index is called that a layer has on another driver."""
    return f"{layer}.{driver}"


def tidy(root: StoreRoot, row: LayerRow, *, alone: bool) -> None:
    """Let the index that came with another driver be the layer's only one, at its usual place.

    To be called while nobody reads. With `alone` no other layer is of the same tar.
    """
    moved = root.folder("index", moved_name(row.id, row.driver))
    if row.diff_id is None or not os.path.lexists(moved):
        return
    import filecmp

    own, common = _own(root, row, row.diff_id), root.folder("index", row.diff_id.hex)
    if not alone and not filecmp.cmp(moved, common, shallow=False):
        os.rename(moved, own)
        return
    if os.path.lexists(own):
        os.unlink(own)  # first: until the renaming it is `moved` that counts
    os.rename(moved, common)


def _own(root: StoreRoot, row: LayerRow, diff_id: DiffID) -> str:
    return root.folder("index", f"{diff_id.hex}.{row.id}")
