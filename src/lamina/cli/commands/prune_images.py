"""`prune` of images alone."""

from lamina.cli.flags import Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.pruning import FLAGS, prune_images, reported

USAGE = Usage("[OPTIONS]", "Remove images without a name (-a: all that no container uses)", FLAGS)


def run(context: Context, given: Parsed) -> int:
    """Ask, and remove."""
    return reported(context, given, (prune_images,))
