"""Bytes as bars: layers beside one another, what is hidden of each hatched."""

from collections.abc import Iterable
from typing import NamedTuple

from lamina.views.report.markup import text

_LEAST = 0.15  # percent: what is there is seen


class Part(NamedTuple):
    """A part of a bar; `hidden` of its `size` bytes are hatched."""

    colour: str
    size: int
    hidden: int
    label: str


def bar(parts: Iterable[Part], whole: int, label: str) -> str:
    """A bar on a scale of `whole` bytes."""
    drawn = []
    at = 0.0
    for part in parts:
        if not part.size:
            continue
        wide = max(part.size * 100 / max(whole, 1), _LEAST)
        drawn.append(f"<g><title>{text(part.label)}</title>{_part(part, at, wide)}</g>")
        at += wide
    return f'<svg class="bar" role="img" aria-label="{text(label)}">{"".join(drawn)}</svg>'


def _part(part: Part, at: float, wide: float) -> str:
    hidden = max(wide * part.hidden / part.size, _LEAST) if part.hidden else 0.0
    drawn = f'<rect class="{part.colour}" x="{at:.3f}%" width="{wide:.3f}%" height="100%"/>'
    if hidden:
        begin = at + wide - hidden
        drawn += f'<rect fill="url(#hatch)" x="{begin:.3f}%" width="{hidden:.3f}%" height="100%"/>'
    return drawn
