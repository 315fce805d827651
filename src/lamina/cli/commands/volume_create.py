"""`lamina volume create`."""

from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.labels import labels_of
from lamina.cli.main import Context
from lamina.cli.session import engine
from lamina.errors import UsageError

USAGE = Usage(
    "[OPTIONS] [NAME]",
    "Make a volume",
    (
        Flag("driver", "d", "NAME", "local, which is the only one"),
        Flag("label", "", "KEY[=VALUE]", "a label", True),
        Flag("name", "", "NAME", "its name"),
    ),
    0,
    1,
)


def run(context: Context, given: Parsed) -> int:
    """Make it, and print its name."""
    driver = given.one("driver")
    if driver not in (None, "local"):
        raise UsageError(f"there is no volume driver {driver!r}", hint="there is local")
    name = given.operands[0] if given.operands else given.one("name")
    with engine(context) as opened:
        print(opened.volumes.create(name, labels=labels_of(given)).name)
    return 0
