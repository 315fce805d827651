"""`prune` of cache alone."""

from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.pruning import FILTER, FORCE, prune_cache, reported

_ALL = Flag("all", "a", "", "accepted for docker's sake: all of it goes anyway")

USAGE = Usage("[OPTIONS]", "Empty the build cache", (_ALL, FILTER, FORCE))


def run(context: Context, given: Parsed) -> int:
    """Ask, and remove."""
    return reported(context, given, (prune_cache,))
