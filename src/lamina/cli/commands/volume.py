"""`lamina volume`, which has commands of its own."""

from lamina.cli.flags import Parsed, Usage
from lamina.cli.main import GROUPS, Context
from lamina.errors import UsageError

_COMMANDS = ", ".join(GROUPS["volume"])

USAGE = Usage("COMMAND", f"Keep data beside containers: {_COMMANDS}", (), 0, None)


def run(_context: Context, _given: Parsed) -> int:
    """Say which commands there are."""
    raise UsageError("'lamina volume' needs a command", hint=f"there are {_COMMANDS}")
