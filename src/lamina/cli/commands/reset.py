"""`lamina reset`."""

from lamina.cli.each import for_each
from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.session import engine

USAGE = Usage(
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Take away all that containers have written",
    (Flag("force", "f", "", "also of a running one: it is killed, and started again"),),
    1,
    None,
)


def run(context: Context, given: Parsed) -> int:
    """Reset each; go on after an error."""
    with engine(context) as opened:

        def reset(name: str) -> None:
            opened.containers.get(name).reset(force=given.has("force"))
            print(name, flush=True)

        return for_each(given.operands, reset)
