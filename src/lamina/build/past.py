"""Images whose history and layers answer for steps, as docker's classic `--cache-from` has it.

An image answers for a step when its layers begin with those that the step stands on, its history
with the lines that led there, and the next line is the step's. A copy's line does not tell what was
copied: its layer must hold the same files (`lamina.build.likeness`).
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from lamina.build.record import Record
from lamina.spec.imageconfig import ImageConfig, parse_time
from lamina.values.digest import ChainID, chain_ids


class Ancestor(NamedTuple):
    """An image of the store that may answer, and what people call it."""

    title: str
    config: ImageConfig


class Past(NamedTuple):
    """The lines of history that led to a step, and the line of the step itself."""

    lines: tuple[str, ...]
    text: str


def found(ancestors: Sequence[Ancestor], past: Past, parent: ChainID | None) -> Iterator[Record]:
    """What the images say that the step led to, the first of them first."""
    for each in ancestors:
        record = _answer(each, past, parent)
        if record is not None:
            yield record


def _answer(ancestor: Ancestor, past: Past, parent: ChainID | None) -> Record | None:
    history = ancestor.config.history
    before = len(past.lines)
    if tuple(line.created_by for line in history[: before + 1]) != (*past.lines, past.text):
        return None
    chains = (None, *chain_ids(ancestor.config.diff_ids))
    below = sum(not line.empty_layer for line in history[:before])
    above = below + (not history[before].empty_layer)
    if above >= len(chains) or chains[below] != parent:
        return None
    created = parse_time(history[before].created)
    return Record(chains[above], "{}", created, ancestor.title)
