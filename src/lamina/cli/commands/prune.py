"""`lamina prune`."""

from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.pruning import FLAGS, prune_cache, prune_containers, prune_images, reported

USAGE = Usage(
    "[OPTIONS]",
    "Remove stopped containers, images without a name (-a: all unused) and the build cache",
    (*FLAGS, Flag("volumes", "", "", "accepted for docker's sake: there are none")),
)


def run(context: Context, given: Parsed) -> int:
    """Ask, and remove."""
    return reported(context, given, (prune_containers, prune_images, prune_cache))
