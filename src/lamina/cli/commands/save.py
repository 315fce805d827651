"""`lamina save`."""

from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.session import engine
from lamina.cli.streams import written

USAGE = Usage(
    "[OPTIONS] IMAGE [IMAGE...]",
    "Write images as one archive that docker, podman and skopeo read",
    (Flag("output", "o", "FILE", "write there instead of to standard output"),),
    1,
    None,
)


def run(context: Context, given: Parsed) -> int:
    """Save."""
    with engine(context) as opened, written(given.one("output")) as write:
        opened.images.save(given.operands, write)
    return 0
