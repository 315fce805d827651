"""`lamina import`."""

import os
import sys

from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.platformflag import platform_of
from lamina.cli.session import engine
from lamina.cli.streams import source_date_epoch, stdin_stream

USAGE = Usage(
    "[OPTIONS] FILE|- [REPOSITORY[:TAG]]",
    "Make an image of a root file system's tar (gzip, zstd, xz, bzip2 or plain)",
    (
        Flag("change", "c", "INSTRUCTION", "apply a Dockerfile instruction to the config", True),
        Flag("message", "m", "TEXT", "the comment in its history"),
        Flag(
            "platform",
            "",
            "OS/ARCH",
            "what its programs are for (DOCKER_DEFAULT_PLATFORM; this machine)",
        ),
        Flag("quiet", "q", "", "accepted for docker's sake: only the ID is printed anyway"),
    ),
    1,
    2,
)


def run(context: Context, given: Parsed) -> int:
    """Import, and print the image's ID."""
    source, *name = given.operands
    epoch = source_date_epoch(os.environ)
    with engine(context) as opened:
        image = opened.images.import_(
            stdin_stream(sys.stdin.buffer) if source == "-" else source,
            repository=name[0] if name else None,
            changes=given.all("change"),
            message=given.one("message") or "",
            created=float(epoch) if epoch is not None else None,
            platform=platform_of(given),
        )
        print(image.id)
    return 0
