"""`lamina top`."""

from lamina.cli.flags import Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.session import engine

USAGE = Usage(
    "CONTAINER [PS OPTIONS]",
    "List what runs in a container, as ps(1) tells (-ef)",
    (),
    1,
    None,
    True,
)


def run(context: Context, given: Parsed) -> int:
    """List."""
    name, *options = given.operands
    with engine(context) as opened:
        found = opened.containers.get(name).top(options or ("-ef",))
    table = [found.titles, *found.rows]
    widths = [max(len(row[at]) for row in table if at < len(row)) for at in range(len(table[0]))]
    for row in table:
        print(
            "   ".join(
                f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)
            ).rstrip()
        )
    return 0
