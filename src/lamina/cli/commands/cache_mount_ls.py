"""`lamina cache mount ls`."""

import time

from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.output import show
from lamina.cli.session import engine
from lamina.views.cache import mount_rows

USAGE = Usage(
    "[OPTIONS]",
    "List the cache mounts of RUN, oldest first",
    (
        Flag("format", "", "FORMAT", "table, json, or a Go template"),
        Flag("quiet", "q", "", "only IDs"),
    ),
)
_COLUMNS = (("ID", "ID"), ("Size", "SIZE"), ("UsedSince", "LAST USED"), ("InUse", "IN USE"))


def run(context: Context, given: Parsed) -> int:
    """List."""
    with engine(context) as opened:
        rows = mount_rows(opened.cache_mounts.list(), time.time())
    if given.has("quiet"):
        print("".join(f"{row['ID']}\n" for row in rows), end="")
        return 0
    print(show(rows, _COLUMNS, given.one("format")), end="")
    return 0
