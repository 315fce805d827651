"""`lamina prune`."""

from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.pruning import (
    FLAGS,
    prune_anonymous,
    prune_cache,
    prune_containers,
    prune_images,
    reported,
)

USAGE = Usage(
    "[OPTIONS]",
    "Remove stopped containers, images without a name (-a: all unused) and the build cache",
    (*FLAGS, Flag("volumes", "", "", "volumes without a name, too")),
)


def run(context: Context, given: Parsed) -> int:
    """Ask, and remove."""
    volumes = (prune_anonymous,) if given.has("volumes") else ()
    return reported(context, given, (prune_containers, *volumes, prune_images, prune_cache))
