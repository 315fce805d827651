"""`lamina create`."""

from lamina.cli.containerflags import FLAGS, made
from lamina.cli.flags import Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.session import engine

USAGE = Usage(
    "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    "Make a container without starting it",
    FLAGS,
    1,
    None,
    True,
)


def run(context: Context, given: Parsed) -> int:
    """Create, and print the container's ID."""
    with engine(context) as opened:
        print(made(opened, given, auto_remove=False).id)
    return 0
