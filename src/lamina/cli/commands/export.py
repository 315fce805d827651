"""`lamina export`."""

import sys

from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.session import engine
from lamina.cli.streams import refuse_terminal, written_file

USAGE = Usage(
    "[OPTIONS] CONTAINER",
    "Write a container's whole tree as a tar",
    (Flag("output", "o", "FILE", "write there instead of to standard output"),),
    1,
    1,
)


def run(context: Context, given: Parsed) -> int:
    """Export."""
    path = given.one("output")
    with engine(context) as opened:
        container = opened.containers.get(given.operands[0])
        if path is None or path == "-":
            refuse_terminal(sys.stdout.buffer)
            container.export(sys.stdout.buffer.write)
            sys.stdout.buffer.flush()
        else:
            with written_file(path) as write:
                container.export(write)
    return 0
