"""`lamina cache mount load`."""

import sys

from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.session import engine, warn
from lamina.cli.streams import stdin_stream
from lamina.views.cache import in_a_line

USAGE = Usage(
    "[OPTIONS]",
    "Take in cache mounts of an archive, as far as they are not here yet",
    (Flag("input", "i", "FILE", "read this file or directory instead of standard input"),),
)


def run(context: Context, given: Parsed) -> int:
    """Load, and say what came."""
    path = given.one("input")
    source = path if path not in (None, "-") else None
    with engine(context) as opened:
        stream = source or stdin_stream(sys.stdin.buffer)
        loaded = opened.cache_mounts.load(stream, events=warn)
    for each in loaded:
        said = "Loaded cache mount" if each.is_new else "It is here already, and stays as it is"
        print(f"{said}: {in_a_line(each.title)}")
    return 0
