"""One colour for each stored layer, the same in every picture of a page."""

from collections.abc import Iterable

from lamina.analyze.portrait import Portrait
from lamina.values.digest import ChainID

_COUNT = 12  # classes c1 to c12 of the style sheet; c0 is for the lowest layers


def colours(portraits: Iterable[Portrait]) -> dict[ChainID, str]:
    """The class of each layer. A layer without bytes takes up no colour."""
    found: dict[ChainID, str] = {}
    taken = 0
    for portrait in portraits:
        for number, (chain, layer) in enumerate(
            zip(portrait.chains, portrait.waste.layers, strict=True)
        ):
            if chain in found:
                continue
            if number == 0 or not layer.stored:
                found[chain] = "c0"
                continue
            found[chain] = f"c{taken % _COUNT + 1}"
            taken += 1
    return found
