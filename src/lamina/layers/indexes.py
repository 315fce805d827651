"""Where the index of each layer lies: `index/<diff id>`, as a rule one for all layers of that tar.

Over another base the same tar may land elsewhere (a link below leads on) or destroy other files
of its own. A layer whose index would not be the one that is there keeps its own beside it,
`index/<diff id>.<layer id>`.
"""

import os

from lamina.metadata.layers import LayerRow
from lamina.metadata.root import StoreRoot
from lamina.values.digest import DiffID


def staged(root: StoreRoot, row: LayerRow) -> str:
    """Where the index of a layer grows while the layer is being made."""
    return root.folder("staging", f"{row.id}.index")


def path(root: StoreRoot, row: LayerRow) -> str:
    """The index of a layer that is in place."""
    assert row.diff_id is not None
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
    names = [_own(root, row, row.diff_id)]
    if last:
        names.append(root.folder("index", row.diff_id.hex))
    for name in names:
        try:
            os.unlink(name)
        except FileNotFoundError:
            pass


def names(row: LayerRow) -> tuple[str, ...]:
    """What may lie in `index/` because of a layer."""
    if row.diff_id is None:
        return ()
    return row.diff_id.hex, f"{row.diff_id.hex}.{row.id}"


def _own(root: StoreRoot, row: LayerRow, diff_id: DiffID) -> str:
    return root.folder("index", f"{diff_id.hex}.{row.id}")
