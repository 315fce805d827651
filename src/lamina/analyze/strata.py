"""The picture of images over shared layers: columns are images, a stored layer is one block. Pure.

A chain of layers is a path in a trie, so images in the trie's order have their shared layers side
by side, and one block can span all columns that use it.
"""

from collections.abc import Sequence
from typing import NamedTuple

from lamina.analyze.sharing import Sized
from lamina.values.digest import ChainID


class Column(NamedTuple):
    """One image: what it is called, its layers lowest first, what made each."""

    name: str
    layers: Sequence[Sized]
    commands: tuple[str, ...]


class Block(NamedTuple):
    """One stored layer: the columns `first` to `last` have it, at `level` from below."""

    layer: Sized
    command: str
    level: int
    first: int
    last: int

    @property
    def users(self) -> int:
        """How many images have it."""
        return self.last - self.first + 1


class Strata(NamedTuple):
    """The columns in order, and the blocks from the bottom up, left to right."""

    columns: tuple[Column, ...]
    blocks: tuple[Block, ...]

    @property
    def height(self) -> int:
        """How many layers the tallest image has."""
        return max((len(column.layers) for column in self.columns), default=0)


def strata(columns: Sequence[Column]) -> Strata:
    """Order the columns so that what is shared is contiguous, and find the blocks."""
    first_seen: dict[ChainID, int] = {}
    for number, column in enumerate(columns):
        for layer in column.layers:
            first_seen.setdefault(layer.chain_id, number)
    ordered = sorted(
        columns,
        key=lambda each: ([first_seen[layer.chain_id] for layer in each.layers], each.name),
    )
    blocks: list[Block] = []
    for level in range(max((len(column.layers) for column in ordered), default=0)):
        blocks += _level(ordered, level)
    return Strata(tuple(ordered), tuple(blocks))


def _level(columns: Sequence[Column], level: int) -> list[Block]:
    blocks: list[Block] = []
    for number, column in enumerate(columns):
        if level >= len(column.layers):
            continue
        layer = column.layers[level]
        command = column.commands[level] if level < len(column.commands) else ""
        if blocks and blocks[-1].last == number - 1 and blocks[-1].layer.chain_id == layer.chain_id:
            blocks[-1] = blocks[-1]._replace(last=number)
        else:
            blocks.append(Block(layer, command, level, number, number))
    return blocks
