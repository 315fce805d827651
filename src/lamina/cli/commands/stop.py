"""`lamina stop`."""

from lamina.cli.each import for_each
from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.numbers import seconds
from lamina.cli.session import engine

STOP_FLAGS = (
    Flag("signal", "s", "SIGNAL", "instead of the container's stop signal"),
    Flag("time", "t", "SECONDS", "how long to wait before it is killed (10; -1: for ever)"),
    Flag("timeout", "", "SECONDS", "the same"),
)
USAGE = Usage(
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Ask containers to end, and kill those that do not",
    STOP_FLAGS,
    1,
    None,
)


def run(context: Context, given: Parsed) -> int:
    """Stop each; go on after an error."""
    patience = seconds(given.one("time") or given.one("timeout"), "--time")
    with engine(context) as opened:

        def stop(name: str) -> None:
            opened.containers.get(name).stop(timeout=patience, signal=given.one("signal"))
            print(name, flush=True)

        return for_each(given.operands, stop)
