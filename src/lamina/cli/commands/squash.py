"""`lamina squash`."""

from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.numbers import layer_number
from lamina.cli.session import engine

USAGE = Usage(
    "[OPTIONS] IMAGE",
    "Make an image whose layers, or those from one on, are one layer with the same tree",
    (
        Flag("from", "", "N", "the lowest layer to squash, as `lamina waste` counts (default 1)"),
        Flag("tag", "t", "NAME", "name the new image"),
    ),
    1,
    1,
)


def run(context: Context, given: Parsed) -> int:
    """Squash, and print the new image's ID."""
    first = layer_number(given.one("from")) or 1
    with engine(context) as opened:
        image = opened.images.get(given.operands[0])
        print(opened.images.squash(image, first=first, name=given.one("tag")).id)
    return 0
