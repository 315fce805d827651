"""`lamina explore`."""

import sys

from lamina.analyze.paths import printable
from lamina.cli.flags import Parsed, Usage
from lamina.cli.looking import ELSEWHERE, WHERE, look
from lamina.cli.main import Context
from lamina.cli.session import engine
from lamina.errors import UsageError

USAGE = Usage(
    "[OPTIONS] IMAGE",
    "Walk through an image on this terminal: its layers, the tree as of each, what each did.\n"
    + WHERE,
    ELSEWHERE,
    1,
    1,
)


def run(context: Context, given: Parsed) -> int:
    """Show until the user leaves."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("explore needs a terminal", hint="use ls, find, du or report instead")
    from lamina.analyze.browse import Browser
    from lamina.cli.explorer import explore

    name = given.operands[0]
    with engine(context) as opened:
        print(f"Reading the layers of {printable(name)} ...", file=sys.stderr)
        image = look(opened, given, name)
        tree = image.tree()
        browser, waste = Browser(tree), image.waste(tree=tree)
    explore(name, browser, waste)
    return 0
