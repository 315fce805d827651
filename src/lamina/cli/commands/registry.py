"""`lamina registry`, which has commands of its own."""

from lamina.cli.flags import Parsed, Usage
from lamina.cli.main import GROUPS, Context
from lamina.errors import UsageError

_COMMANDS = ", ".join(GROUPS["registry"])

USAGE = Usage(
    "COMMAND", f"Ask a registry for what pull and push do not tell: {_COMMANDS}", (), 0, None
)


def run(_context: Context, _given: Parsed) -> int:
    """Say which commands there are."""
    raise UsageError("'lamina registry' needs a command", hint=f"there are {_COMMANDS}")
