"""`lamina rm`."""

from lamina.cli.each import for_each
from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.session import engine
from lamina.errors import ContainerNotFound

USAGE = Usage(
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Remove containers",
    (
        Flag("force", "f", "", "also a running one: it is killed"),
        Flag("volumes", "v", "", "its volumes without a name, too"),
    ),
    1,
    None,
)


def run(context: Context, given: Parsed) -> int:
    """Remove each; go on after an error."""
    with engine(context) as opened:

        def remove(name: str) -> None:
            opened.containers.get(name).remove(
                force=given.has("force"), volumes=given.has("volumes")
            )
            print(name)

        return for_each(given.operands, remove, ContainerNotFound if given.has("force") else ())
