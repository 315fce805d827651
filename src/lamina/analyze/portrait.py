"""All that a report shows of one image, as one value. Pure."""

from typing import NamedTuple

from lamina.analyze.treemap import Area
from lamina.analyze.waste import Waste
from lamina.values.digest import ChainID


class Portrait(NamedTuple):
    """An image by its bytes; `chains` are its layers, lowest first."""

    name: str
    chains: tuple[ChainID, ...]
    waste: Waste
    areas: Area
