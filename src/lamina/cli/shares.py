"""What each step of a build added and wasted, as a short table. Draws; counts nothing itself."""

from lamina.analyze.waste import LayerWaste, Waste
from lamina.cli.tables import shortened, table
from lamina.values.size import human

_MOST = 10  # steps that are shown
_STEP = 48  # characters of an instruction: the table fits into 80 columns
_HEADERS = ("ADDED", "WASTED", "HIDES", "STEP")


def shares(found: Waste, own: int, name: str) -> list[str]:
    """Lines on the `own` topmost layers of an image; none where they hold and hide nothing.

    `name` is what other commands know the image by, if they do.
    """
    layers = [each for each in found.layers[len(found.layers) - own :] if _weight(each)]
    if not layers:
        return []
    largest = sorted(layers, key=_weight, reverse=True)[:_MOST]
    rows = [_row(each) for each in layers if each in largest]
    lines = table(_HEADERS, rows).splitlines()
    if len(layers) > _MOST:
        lines.append(f"and {len(layers) - _MOST} smaller ones")
    if name and any(_wasted(each) or each.hides for each in layers):
        lines.append(f"(lamina waste {name} names the files, and the repair)")
    return ["", *lines, ""]


def _row(layer: LayerWaste) -> tuple[str, str, str, str]:
    sizes = (human(size) for size in (layer.stored, _wasted(layer), layer.hides))
    added, wasted, hides = sizes
    return added, wasted, hides, shortened(layer.step.short, _STEP)


def _wasted(layer: LayerWaste) -> int:
    return layer.stored - layer.visible


def _weight(layer: LayerWaste) -> int:
    return layer.stored + layer.hides
