"""`lamina rmi`."""

from lamina.cli.each import for_each
from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.session import engine
from lamina.errors import ImageNotFound

USAGE = Usage(
    "[OPTIONS] IMAGE [IMAGE...]",
    "Remove names, and images with their last name",
    (
        Flag("force", "f", "", "also an image with several names or with containers"),
        Flag("no-prune", "", "", "accepted for docker's sake"),
    ),
    1,
    None,
)


def run(context: Context, given: Parsed) -> int:
    """Remove each; go on after an error."""
    with engine(context) as opened:

        def remove(name: str) -> None:
            for removed in opened.images.remove(name, force=given.has("force")):
                print(f"{removed.what}: {removed.subject}")

        return for_each(given.operands, remove, ImageNotFound if given.has("force") else ())
