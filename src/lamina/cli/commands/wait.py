"""`lamina wait`."""

from lamina.cli.each import for_each
from lamina.cli.flags import Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.session import engine

USAGE = Usage(
    "CONTAINER [CONTAINER...]",
    "Wait until containers have ended, and print their exit statuses",
    (),
    1,
    None,
)


def run(context: Context, given: Parsed) -> int:
    """Wait for each; go on after an error."""
    with engine(context) as opened:

        def wait(name: str) -> None:
            print(opened.containers.get(name).wait(), flush=True)

        return for_each(given.operands, wait)
