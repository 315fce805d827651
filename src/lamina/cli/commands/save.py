"""`lamina save`."""

import sys

from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.session import engine
from lamina.cli.streams import refuse_terminal, written_file

USAGE = Usage(
    "[OPTIONS] IMAGE [IMAGE...]",
    "Write images as one archive that docker, podman and skopeo read",
    (Flag("output", "o", "FILE", "write there instead of to standard output"),),
    1,
    None,
)


def run(context: Context, given: Parsed) -> int:
    """Save."""
    path = given.one("output")
    with engine(context) as opened:
        if path is None or path == "-":
            refuse_terminal(sys.stdout.buffer)
            opened.images.save(given.operands, sys.stdout.buffer.write)
            sys.stdout.buffer.flush()
        else:
            with written_file(path) as write:
                opened.images.save(given.operands, write)
    return 0
