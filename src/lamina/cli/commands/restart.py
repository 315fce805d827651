"""`lamina restart`."""

from lamina.cli.commands.stop import STOP_FLAGS
from lamina.cli.each import for_each
from lamina.cli.flags import Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.numbers import seconds
from lamina.cli.session import engine

USAGE = Usage(
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Stop containers, if they run, and start them",
    STOP_FLAGS,
    1,
    None,
)


def run(context: Context, given: Parsed) -> int:
    """Restart each; go on after an error."""
    patience = seconds(given.one("time") or given.one("timeout"), "--time")
    with engine(context) as opened:

        def restart(name: str) -> None:
            opened.containers.get(name).restart(timeout=patience, signal=given.one("signal"))
            print(name, flush=True)

        return for_each(given.operands, restart)
