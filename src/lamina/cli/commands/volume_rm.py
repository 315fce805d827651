"""`lamina volume rm`."""

from contextlib import nullcontext, suppress

from lamina.cli.each import for_each
from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.session import engine
from lamina.errors import VolumeNotFound

USAGE = Usage(
    "[OPTIONS] VOLUME [VOLUME...]",
    "Remove volumes that no container uses",
    (Flag("force", "f", "", "no error for one that is not there"),),
    1,
    None,
)


def run(context: Context, given: Parsed) -> int:
    """Remove each; go on after an error."""
    with engine(context) as opened:

        def remove(name: str) -> None:
            with suppress(VolumeNotFound) if given.has("force") else nullcontext():
                opened.volumes.get(name).remove()
            print(name)

        return for_each(given.operands, remove)
