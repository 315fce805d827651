"""`lamina rename`."""

from lamina.cli.flags import Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.session import engine

USAGE = Usage("CONTAINER NAME", "Give a container another name", (), 2, 2)


def run(context: Context, given: Parsed) -> int:
    """Rename."""
    name, new = given.operands
    with engine(context) as opened:
        opened.containers.get(name).rename(new)
    return 0
