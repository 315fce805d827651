"""A committed layer as a value."""

from typing import NamedTuple

from lamina.metadata.layers import LayerRow
from lamina.values.digest import ChainID, DiffID
from lamina.values.ids import LayerID


class Layer(NamedTuple):
    """One read-only layer in place; `parent` is the layer below it in a chain.

    It may stand on another one, its `base`, which is kept for it (lamina.layers.versions). `size`
    is in apparent bytes of what the layer itself brings (hard links once), `written` what it takes
    up beside its base, `entries` the number of its members, `created` in seconds since the epoch.
    """

    id: LayerID
    parent: LayerID | None
    diff_id: DiffID
    chain_id: ChainID
    size: int
    entries: int
    created: float
    driver: str
    written: int
    base: LayerID | None = None

    @classmethod
    def from_row(cls, row: LayerRow) -> "Layer":
        """The value of a ready, committed row."""
        assert row.diff_id is not None
        assert row.chain_id is not None
        return cls(
            row.id,
            row.below,
            row.diff_id,
            row.chain_id,
            row.size,
            row.entries,
            row.created,
            row.driver,
            row.size if row.written is None else row.written,
            row.parent if row.parent != row.below else None,
        )
