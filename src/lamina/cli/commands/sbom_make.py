"""`lamina sbom make`."""

from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.looking import ELSEWHERE, WHERE, look
from lamina.cli.main import Context
from lamina.cli.session import engine
from lamina.cli.streams import written

USAGE = Usage(
    "[OPTIONS] IMAGE",
    "Make an SBOM (SPDX 2.3, JSON) of what an image's package managers say: dpkg, apk, rpm, pip.\n"
    + WHERE,
    (Flag("output", "o", "FILE", "write there instead of to standard output"), *ELSEWHERE),
    1,
    1,
)


def run(context: Context, given: Parsed) -> int:
    """Write it; equal images give equal bytes."""
    name = given.operands[0]
    with engine(context) as opened:
        content = look(opened, given, name).sbom(name)
    with written(given.one("output"), "") as write:
        write(content)
    return 0
