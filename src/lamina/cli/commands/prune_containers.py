"""`prune` of containers alone."""

from lamina.cli.flags import Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.pruning import FILTER, FORCE, prune_containers, reported

USAGE = Usage("[OPTIONS]", "Remove every container that does not run", (FILTER, FORCE))


def run(context: Context, given: Parsed) -> int:
    """Ask, and remove."""
    return reported(context, given, (prune_containers,))
