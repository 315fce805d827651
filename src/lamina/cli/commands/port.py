"""`lamina port`: a container has the host's ports, or none, so there is nothing to list."""

from lamina.cli.flags import Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.session import engine

USAGE = Usage(
    "CONTAINER [PORT[/PROTOCOL]]",
    "List the ports of a container that are published: none is, it has the host's network or none",
    (),
    1,
    2,
)


def run(context: Context, given: Parsed) -> int:
    """List nothing, of a container that there is."""
    with engine(context) as opened:
        opened.containers.get(given.operands[0])
    return 0
