"""`lamina cache mount save`."""

from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.session import engine, warn
from lamina.cli.streams import written

USAGE = Usage(
    "[OPTIONS] [ID...]",
    "Write cache mounts of RUN, or all of them, as one archive",
    (Flag("output", "o", "FILE", "write there instead of to standard output"),),
    0,
    None,
)


def run(context: Context, given: Parsed) -> int:
    """Save."""
    with engine(context) as opened, written(given.one("output")) as write:
        opened.cache_mounts.save(write, given.operands, events=warn)
    return 0
