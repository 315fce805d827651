"""`lamina slim`."""

from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.numbers import layer_number
from lamina.cli.session import engine
from lamina.engine.slimming import Slimmed
from lamina.values.size import human

USAGE = Usage(
    "[OPTIONS] IMAGE",
    "Make an image with the same tree, whose layers carry nothing that nobody sees.\n"
    "Layers that another image has, and those below the first with something hidden, stay",
    (
        Flag("from", "", "N", "rewrite from layer N on, whoever else has it (1: all)"),
        Flag("quiet", "q", "", "print only the image ID"),
        Flag("tag", "t", "NAME", "name the new image"),
    ),
    1,
    1,
)


def run(context: Context, given: Parsed) -> int:
    """Slim, and say what it saves."""
    first = layer_number(given.one("from"))
    with engine(context) as opened:
        image = opened.images.get(given.operands[0])
        made = opened.images.slim(image, first=first, name=given.one("tag"))
        count = image.layer_count
    print(made.image)
    if not given.has("quiet"):
        print("".join(f"{line}\n" for line in _told(made, count)), end="")
    return 0


def _told(made: Slimmed, count: int) -> list[str]:
    saved = made.before - made.after
    if made.kept == count:
        lines = ["Nothing is hidden in the layers that may be rewritten"]
    else:
        sizes = (
            f"{human(saved, 4)} saved: {human(made.after, 4)} instead of {human(made.before, 4)}"
        )
        lines = [f"{sizes}; {made.kept} of {count} layers kept"]
    if made.left:
        left = f"{human(made.left, 4)} stay hidden in layers that stay"
        lines.append(f"{left} (--from 1 rewrites them, too)")
    return lines
