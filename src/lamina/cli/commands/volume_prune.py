"""`lamina volume prune`."""

from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.pruning import FILTER, FORCE, prune_volumes, reported

USAGE = Usage(
    "[OPTIONS]",
    "Remove the volumes that no container uses and nobody gave a name",
    (Flag("all", "a", "", "those with a name, too"), FILTER, FORCE),
)


def run(context: Context, given: Parsed) -> int:
    """Ask, and remove."""
    return reported(context, given, (prune_volumes,))
