"""`lamina export`."""

from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.session import engine
from lamina.cli.streams import written

USAGE = Usage(
    "[OPTIONS] CONTAINER",
    "Write a container's whole tree as a tar",
    (Flag("output", "o", "FILE", "write there instead of to standard output"),),
    1,
    1,
)


def run(context: Context, given: Parsed) -> int:
    """Export."""
    with engine(context) as opened:
        container = opened.containers.get(given.operands[0])
        with written(given.one("output")) as write:
            container.export(write)
    return 0
