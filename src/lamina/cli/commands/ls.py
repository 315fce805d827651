"""`lamina ls`: an image's files without a container."""

from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.inimage import one_path
from lamina.cli.looking import ELSEWHERE, WHERE, look
from lamina.cli.main import Context
from lamina.cli.output import show
from lamina.cli.session import engine
from lamina.views.inside import Document, file_rows

USAGE = Usage(
    "[OPTIONS] IMAGE[:/PATH] | IMAGE /PATH",
    f"List what a directory of an image holds, without a container.\n{WHERE}",
    (
        Flag("all", "a", "", "accepted for ls's sake: nothing is left out"),
        Flag("format", "", "FORMAT", "table, json, or a Go template (.Path, .Mode, .Size ...)"),
        Flag("long", "l", "", "with mode, names, owner, group, size in bytes and time"),
        *ELSEWHERE,
    ),
    1,
    2,
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
    with engine(context) as opened:
        image, path = one_path(opened, given.operands)
        rows = file_rows(look(opened, given, image).listdir(path))
    if given.has("long") or given.one("format"):
        print(show(rows, _COLUMNS, given.one("format")), end="")
    else:
        print("".join(f"{_name(row)}\n" for row in rows), end="")
    return 0


def _name(row: Document) -> object:
    return row["Name"] or "/"
