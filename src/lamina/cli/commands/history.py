"""`lamina history`."""

import time

from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.output import show
from lamina.cli.session import engine
from lamina.cli.tables import shortened
from lamina.views.images import history_rows

USAGE = Usage(
    "[OPTIONS] IMAGE",
    "Show how an image came to be, newest first",
    (
        Flag("format", "", "FORMAT", "table, json, or a Go template"),
        Flag("human", "H", "", "accepted for docker's sake"),
        Flag("no-trunc", "", "", "do not cut commands and IDs"),
        Flag("quiet", "q", "", "only IDs"),
    ),
    1,
    1,
)
_COLUMNS = (
    ("ID", "IMAGE"),
    ("CreatedSince", "CREATED"),
    ("CreatedBy", "CREATED BY"),
    ("Size", "SIZE"),
    ("Comment", "COMMENT"),
)


def run(context: Context, given: Parsed) -> int:
    """Show."""
    with engine(context) as opened:
        rows = history_rows(opened.images.get(given.operands[0]).history(), time.time())
    for row in rows:
        if not given.has("no-trunc"):
            row["ID"] = str(row["ID"]).removeprefix("sha256:")[:12]
            row["CreatedBy"] = shortened(" ".join(str(row["CreatedBy"]).split()), 45)
    if given.has("quiet"):
        print("".join(f"{row['ID']}\n" for row in rows), end="")
    else:
        print(show(rows, _COLUMNS, given.one("format")), end="")
    return 0
