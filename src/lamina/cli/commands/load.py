"""`lamina load`."""

import sys

from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.progressflag import JSON, PROGRESS, is_quiet
from lamina.cli.session import engine, warn
from lamina.cli.streams import stdin_stream
from lamina.cli.transfers import transferring

USAGE = Usage(
    "[OPTIONS]",
    "Load images from a docker archive, an OCI archive or an OCI layout directory",
    (
        Flag("input", "i", "FILE", "read this file or directory instead of standard input"),
        JSON,
        Flag("platform", "", "OS/ARCH", "only images for that platform"),
        PROGRESS,
        Flag("quiet", "q", "", "do not say what was replaced"),
    ),
)


def run(context: Context, given: Parsed) -> int:
    """Load, and say what came."""
    path = given.one("input")
    source = path if path not in (None, "-") else None
    with engine(context) as opened:
        stream = source or stdin_stream(sys.stdin.buffer)
        with transferring(given, plain=warn) as events:
            loaded = opened.images.load(stream, platform=given.one("platform"), events=events)
    for each in loaded:
        for name in each.replaced:
            if not is_quiet(given):
                print(f"The image {name} existed already; the old one has no name now")
        for name in each.names:
            print(f"Loaded image: {name}")
        if not each.names:
            print(f"Loaded image ID: {each.image.id}")
    return 0
