"""`lamina cache mount rm`."""

from lamina.cli.each import for_each
from lamina.cli.flags import Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.session import engine

USAGE = Usage("ID [ID...]", "Remove cache mounts of RUN", (), 1, None)


def run(context: Context, given: Parsed) -> int:
    """Remove each; go on after an error."""
    with engine(context) as opened:

        def remove(title: str) -> None:
            opened.cache_mounts.remove(title)
            print(title)

        return for_each(given.operands, remove)
