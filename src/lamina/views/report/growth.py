"""How images given one after the other grow: what each adds to, and shares with, the one before."""

from collections.abc import Mapping, Sequence

from lamina.analyze.portrait import Portrait
from lamina.values.digest import ChainID
from lamina.views.report.bars import Part, bar
from lamina.views.report.markup import change, name, share, size, spaced, table


def section(portraits: Sequence[Portrait], colour: Mapping[ChainID, str]) -> str:
    """The images in the order they were given."""
    whole = max(each.waste.stored for each in portraits)
    rows = []
    before: Portrait | None = None
    for each in portraits:
        common = _common(before, each)
        found = each.waste
        rows.append(
            [
                name(each.name),
                bar(_parts(each, colour), whole, f"{spaced(found.stored)} in layers"),
                size(found.stored),
                _change(before, each),
                size(sum(layer.stored for layer in found.layers[common:])) if before else "–",  # noqa: RUF001 - meant
                f"{size(found.wasted)} ({share(found.wasted, found.stored)})",
            ]
        )
        before = each
    headers = [
        ("Image", False),
        ("Layers, the lowest first", False),
        ("Stored", True),
        ("Change", True),
        ("New to pull", True),
        ("Wasted", True),
    ]
    return (
        '<section class="growth" aria-labelledby="growth"><h2 id="growth">Growth</h2>'
        "<p>In the order given. New to pull is what is stored in layers that the image before does "
        "not have.</p>"
        f"{table('Images, each beside the one before', headers, rows)}</section>"
    )


def _common(before: Portrait | None, now: Portrait) -> int:
    """How many layers two images have in common, from below."""
    count = 0
    for one, other in zip(before.chains if before else (), now.chains, strict=False):
        if one != other:
            break
        count += 1
    return count


def _change(before: Portrait | None, now: Portrait) -> str:
    if before is None:
        return "–"  # noqa: RUF001 - meant
    return change(now.waste.stored - before.waste.stored)


def _parts(portrait: Portrait, colour: Mapping[ChainID, str]) -> list[Part]:
    return [
        Part(
            colour[chain],
            layer.stored,
            layer.stored - layer.visible,
            f"{layer.step.short}: {spaced(layer.stored)}",
        )
        for chain, layer in zip(portrait.chains, portrait.waste.layers, strict=True)
    ]
