"""`lamina cat`: a file of an image without a container."""

import sys

from lamina.cli.flags import Parsed, Usage
from lamina.cli.inimage import split
from lamina.cli.main import Context
from lamina.cli.session import engine
from lamina.errors import UsageError

USAGE = Usage(
    "IMAGE:/PATH [IMAGE:/PATH...]",
    "Write what files of an image hold, without a container; links are followed inside it",
    (),
    1,
    None,
)


def run(context: Context, given: Parsed) -> int:
    """Write them, one after the other."""
    asked = [split(each) for each in given.operands]
    for operand, each in zip(given.operands, asked, strict=True):
        if each.path == "/":
            raise UsageError(f"{operand!r} names no file", hint="write it as IMAGE:/PATH")
    with engine(context) as opened:
        for image, path in asked:
            opened.images.get(image).read(path, sys.stdout.buffer.write)
    return 0
