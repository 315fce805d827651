"""`lamina cache ls`."""

import time

from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.output import show
from lamina.cli.session import engine
from lamina.cli.tables import shortened
from lamina.views.cache import cache_rows

USAGE = Usage(
    "[OPTIONS]",
    "List the steps that the build cache remembers with their layers, newest first",
    (
        Flag("format", "", "FORMAT", "table, json, or a Go template"),
        Flag("no-trunc", "", "", "do not cut IDs and commands"),
    ),
)
_COLUMNS = (
    ("ID", "ID"),
    ("Type", "TYPE"),
    ("CreatedSince", "CREATED"),
    ("Size", "SIZE"),
    ("Description", "DESCRIPTION"),
)
_WIDTH = 60  # characters of a command


def run(context: Context, given: Parsed) -> int:
    """List."""
    with engine(context) as opened:
        rows = cache_rows(opened.system.cached_steps(), time.time())
    if not given.has("no-trunc"):
        for row in rows:
            row["ID"] = str(row["ID"])[:12]
            row["Description"] = shortened(str(row["Description"]), _WIDTH)
    print(show(rows, _COLUMNS, given.one("format")), end="")
    return 0
