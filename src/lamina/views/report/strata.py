"""The picture of images over the layers they share: as wide as its users, as high as its bytes."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from lamina.analyze.portrait import Portrait
from lamina.analyze.sharing import ImageChain, Sharing, sharing
from lamina.analyze.strata import Block, Column, Strata, strata
from lamina.analyze.waste import LayerWaste
from lamina.values.digest import ChainID, ImageID
from lamina.views.report.markup import name, share, size, spaced, table, text

_WIDTH = 1120
_NARROW, _WIDE = 110, 420
_HEIGHT = 300  # of the highest stack, over the least heights of its blocks
_LEAST = 30  # of a block: a line of text
_HEAD = 34
_GAP = 3
_LETTER = 7.1  # width of one


class _Stored(NamedTuple):
    chain_id: ChainID
    size: int


class _Layer(NamedTuple):
    """A stored layer with its users; `hidden` is what none of them sees."""

    facts: LayerWaste
    users: tuple[str, ...]
    hidden: int


def shared(portraits: Sequence[Portrait]) -> Sharing:
    """Who has what."""
    return sharing(
        [
            ImageChain(ImageID(f"sha256:{number:064x}"), (each.name,), _layers(each))
            for number, each in enumerate(portraits)
        ]
    )


def hidden(portraits: Sequence[Portrait]) -> int:
    """Stored bytes that none of the images shows."""
    return sum(layer.hidden for layer in _by_chain(portraits).values())


def _layers(portrait: Portrait) -> tuple[_Stored, ...]:
    pairs = zip(portrait.chains, portrait.waste.layers, strict=True)
    return tuple(_Stored(chain, layer.stored) for chain, layer in pairs)


def section(portraits: Sequence[Portrait], colour: Mapping[ChainID, str]) -> str:
    """The picture, the arithmetic, and the same as a table."""
    picture = strata([Column(each.name, _layers(each), ()) for each in portraits])
    layers = _by_chain(portraits)
    counted = shared(portraits)
    told = (
        f"{counted.stored} layers are stored for {counted.asked} that are asked for: "
        f"{spaced(counted.stored_bytes)} instead of {spaced(counted.asked_bytes)}."
    )
    return (
        '<section aria-labelledby="layers"><h2 id="layers">Layers, and who shares them</h2>'
        f"<p>{text(told)} A block is one stored layer: as wide as the images that have it, as high "
        'as its bytes. <span class="key hatched"></span> marks what nobody sees.</p>'
        f'<div class="scroll">{_drawn(picture, layers, colour)}</div>'
        f"<details><summary>The layers as a table</summary>{_table(picture, layers)}</details>"
        "</section>"
    )


def _by_chain(portraits: Sequence[Portrait]) -> dict[ChainID, _Layer]:
    found: dict[ChainID, _Layer] = {}
    for portrait in portraits:
        for chain, facts in zip(portrait.chains, portrait.waste.layers, strict=True):
            hidden = facts.stored - facts.visible
            known = found.get(chain)
            if known is None:
                found[chain] = _Layer(facts, (portrait.name,), hidden)
            else:
                users = (*known.users, portrait.name)
                found[chain] = _Layer(facts, users, min(known.hidden, hidden))
    return found


def _drawn(picture: Strata, layers: Mapping[ChainID, _Layer], colour: Mapping[ChainID, str]) -> str:
    count = len(picture.columns)
    wide = max(_NARROW, min(_WIDE, _WIDTH // max(count, 1)))
    highest = max((_sum(column) for column in picture.columns), default=0)
    scale = _HEIGHT / max(highest, 1)
    tops = [0.0] * count
    parts = []
    for block in picture.blocks:
        high = _LEAST + block.layer.size * scale
        below = tops[block.first]
        for column in range(block.first, block.last + 1):
            tops[column] = below + high + _GAP
        parts.append((block, below, high))
    whole = max(tops, default=0) + _HEAD
    blocks = "".join(
        _block(block, layers[block.layer.chain_id], colour, (wide, whole - below - high, high))
        for block, below, high in parts
    )
    heads = "".join(
        f'<text class="head" x="{number * wide + wide / 2:.1f}" '
        f'y="{whole - tops[number] - 10:.1f}">{text(_fit(column.name, wide - 8))}</text>'
        for number, column in enumerate(picture.columns)
    )
    return (
        f'<svg class="strata" width="{wide * count}" height="{whole:.0f}" role="group" '
        f'aria-label="Images over their layers">{_HATCH}{heads}{blocks}</svg>'
    )


_HATCH = (
    '<defs><pattern id="hatch" width="7" height="7" patternUnits="userSpaceOnUse" '
    'patternTransform="rotate(45)"><rect class="stripe" width="2.5" height="7"/></pattern></defs>'
)


def _sum(column: Column) -> int:
    return sum(layer.size for layer in column.layers)


def _block(
    block: Block, layer: _Layer, colour: Mapping[ChainID, str], place: tuple[int, float, float]
) -> str:
    column, top, high = place
    x, wide = block.first * column + 1, column * block.users - 3
    shade = colour[block.layer.chain_id]
    step = layer.facts.step
    hidden = high * layer.hidden / layer.facts.stored if layer.facts.stored else 0.0
    label = f"Layer {block.level + 1}: {step.short}. {spaced(layer.facts.stored)}"
    label += f", {spaced(layer.hidden)} of it hidden" if layer.hidden else ""
    label += f". In {', '.join(layer.users)}"
    sized = f"{spaced(layer.facts.stored)}{f' ×{block.users}' if block.users > 1 else ''}"  # noqa: RUF001 - meant
    room = wide - 20 - _LETTER * len(sized)
    hatch = (
        f'<rect fill="url(#hatch)" x="{x}" y="{top:.1f}" width="{wide}" '
        f'height="{max(hidden, 3):.1f}"/>'
        if layer.hidden
        else ""
    )
    return (
        f'<g tabindex="0" role="img" aria-label="{text(label)}"><title>{text(label)}</title>'
        f'<rect class="{shade} block" x="{x}" y="{top:.1f}" '
        f'width="{wide}" height="{high:.1f}" rx="4"/>{hatch}'
        f'<text class="{shade} on" x="{x + 8}" y="{top + high - 10:.1f}">'
        f"{text(_fit(_words(step.verb, step.text), room))}</text>"
        f'<text class="{shade} on end" x="{x + wide - 8}" y="{top + high - 10:.1f}">'
        f"{text(sized)}</text></g>\n"
    )


def _words(verb: str, told: str) -> str:
    return f"{verb} {told}".strip() or "(no history)"


def _fit(told: str, width: float) -> str:
    length = int(width / _LETTER)
    if len(told) <= length:
        return told
    return told[: length - 1] + "…" if length > 2 else ""


def _table(picture: Strata, layers: Mapping[ChainID, _Layer]) -> str:
    rows = []
    for block in reversed(picture.blocks):
        layer = layers[block.layer.chain_id]
        rows.append(
            [
                str(block.level + 1),
                name(_words(layer.facts.step.verb, layer.facts.step.text)),
                size(layer.facts.stored),
                f"{size(layer.hidden)} ({share(layer.hidden, layer.facts.stored)})",
                ", ".join(name(user) for user in layer.users),
                f"<code>{text(layer.facts.diff_id[7:19])}</code>",
            ]
        )
    headers = [
        ("Layer", True),
        ("Instruction", False),
        ("Stored", True),
        ("Hidden", True),
        ("Images", False),
        ("Diff ID", False),
    ]
    return table("Stored layers, the uppermost first", headers, rows)
