"""`lamina kill`."""

from lamina.cli.each import for_each
from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.session import engine
from lamina.containers.signals import number_of

USAGE = Usage(
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Send containers a signal",
    (Flag("signal", "s", "SIGNAL", "which (KILL)"),),
    1,
    None,
)


def run(context: Context, given: Parsed) -> int:
    """Signal each; go on after an error."""
    number = number_of(given.one("signal") or "KILL")
    with engine(context) as opened:

        def kill(name: str) -> None:
            opened.containers.get(name).kill(number)
            print(name, flush=True)

        return for_each(given.operands, kill)
