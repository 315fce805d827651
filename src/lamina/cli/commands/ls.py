"""`lamina ls`: an image's files without a container."""

from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.inimage import split
from lamina.cli.main import Context
from lamina.cli.output import show
from lamina.cli.session import engine
from lamina.views.inside import Document, file_rows

USAGE = Usage(
    "[OPTIONS] IMAGE[:/PATH]",
    "List what a directory of an image holds, without a container",
    (
        Flag("all", "a", "", "accepted for ls's sake: nothing is left out"),
        Flag("format", "", "FORMAT", "table, json, or a Go template (.Path, .Mode, .Size ...)"),
        Flag("long", "l", "", "with mode, names, owner, group, size in bytes and time"),
    ),
    1,
    1,
)
_COLUMNS = (
    ("Mode", "MODE"),
    ("Links", "NAMES"),
    ("Uid", "UID"),
    ("Gid", "GID"),
    ("SizeOrDevice", "SIZE"),
    ("Modified", "MODIFIED"),
    ("Shown", "NAME"),
)


def run(context: Context, given: Parsed) -> int:
    """List."""
    image, path = split(given.operands[0])
    with engine(context) as opened:
        rows = file_rows(opened.images.get(image).listdir(path))
    if given.has("long") or given.one("format"):
        print(show(rows, _COLUMNS, given.one("format")), end="")
    else:
        print("".join(f"{_name(row)}\n" for row in rows), end="")
    return 0


def _name(row: Document) -> object:
    return row["Name"] or "/"
