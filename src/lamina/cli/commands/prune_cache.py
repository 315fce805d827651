"""`prune` of cache alone."""

from lamina.cli.flags import Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.pruning import FLAGS, prune_cache, reported

USAGE = Usage("[OPTIONS]", "Empty the build cache", FLAGS)


def run(context: Context, given: Parsed) -> int:
    """Ask, and remove."""
    return reported(context, given, (prune_cache,))
