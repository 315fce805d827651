"""`lamina diff`."""

import os

from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.output import show
from lamina.cli.session import engine

USAGE = Usage(
    "CONTAINER",
    "List what a container changed over its image: A added, C changed, D deleted",
    (Flag("format", "", "FORMAT", "table, json, or a Go template (.Type, .Path)"),),
    1,
    1,
)


def run(context: Context, given: Parsed) -> int:
    """List."""
    with engine(context) as opened:
        changes = opened.containers.get(given.operands[0]).diff()
    rows = [{"Type": each.kind, "Path": "/" + os.fsdecode(each.path)} for each in changes]
    if given.one("format"):
        columns = (("Type", "CHANGE TYPE"), ("Path", "PATH"))
        print(show(rows, columns, given.one("format")), end="")
        return 0
    for row in rows:
        print(f"{row['Type']} {row['Path']}")
    return 0
