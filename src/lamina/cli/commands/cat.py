"""`lamina cat`: a file of an image without a container."""

import sys

from lamina.cli.flags import Parsed, Usage
from lamina.cli.inimage import in_images
from lamina.cli.looking import ELSEWHERE, WHERE, read
from lamina.cli.main import Context
from lamina.cli.session import engine
from lamina.errors import UsageError

USAGE = Usage(
    "[OPTIONS] IMAGE:/PATH [IMAGE:/PATH | /PATH ...]",
    "Write what files of an image hold, without a container; links are followed inside it.\n"
    f"{WHERE}",
    ELSEWHERE,
    1,
    None,
)


def run(context: Context, given: Parsed) -> int:
    """Write them, one after the other."""
    with engine(context) as opened:
        asked = in_images(opened, given.operands)
        for image, paths in asked:
            if not paths or "/" in paths:
                raise UsageError(f"{image!r} names no file", hint="write it as IMAGE:/PATH")
        for image, paths in asked:
            read(opened, given, image, paths, sys.stdout.buffer.write)
    return 0
