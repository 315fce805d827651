"""`lamina pause`."""

from lamina.cli.each import for_each
from lamina.cli.flags import Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.session import engine

USAGE = Usage("CONTAINER [CONTAINER...]", "Hold everything of containers still", (), 1, None)


def run(context: Context, given: Parsed) -> int:
    """Pause each; go on after an error."""
    with engine(context) as opened:

        def pause(name: str) -> None:
            opened.containers.get(name).pause()
            print(name, flush=True)

        return for_each(given.operands, pause)
