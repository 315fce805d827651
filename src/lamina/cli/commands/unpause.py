"""`lamina unpause`."""

from lamina.cli.each import for_each
from lamina.cli.flags import Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.session import engine

USAGE = Usage("CONTAINER [CONTAINER...]", "Let paused containers go on", (), 1, None)


def run(context: Context, given: Parsed) -> int:
    """Let go on each; go on after an error."""
    with engine(context) as opened:

        def unpause(name: str) -> None:
            opened.containers.get(name).unpause()
            print(name, flush=True)

        return for_each(given.operands, unpause)
