"""`lamina du`: what the directories of an image take up."""

from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.inimage import one_path
from lamina.cli.looking import ELSEWHERE, WHERE, look
from lamina.cli.main import Context
from lamina.cli.output import show
from lamina.cli.session import engine
from lamina.errors import UsageError
from lamina.views.inside import taken_rows

USAGE = Usage(
    "[OPTIONS] IMAGE[:/PATH] | IMAGE /PATH",
    f"Show what the directories of an image take up: bytes of files, hard links once.\n{WHERE}",
    (
        Flag("all", "a", "", "files, too"),
        Flag("bytes", "b", "", "exact bytes"),
        Flag("format", "", "FORMAT", "table, json, or a Go template (.Bytes, .Entries, .Path)"),
        Flag("max-depth", "d", "N", "so many levels below the path (default 1)"),
        Flag("summarize", "s", "", "the path alone"),
        *ELSEWHERE,
    ),
    1,
    2,
)
_COLUMNS = (("Size", "SIZE"), ("Entries", "ENTRIES"), ("Path", "PATH"))


def run(context: Context, given: Parsed) -> int:
    """Show, each directory after what it holds."""
    depth = 0 if given.has("summarize") else _depth(given.one("max-depth"))
    with engine(context) as opened:
        image, path = one_path(opened, given.operands)
        taken = look(opened, given, image).du(path, depth=depth, files=given.has("all"))
    rows = taken_rows(taken, exact=given.has("bytes"))
    print(show(rows, _COLUMNS, given.one("format")), end="")
    return 0


def _depth(text: str | None) -> int:
    if text is None:
        return 1
    if not text.isdecimal() or len(text) > 6:
        raise UsageError(f"invalid --max-depth {text!r}: a number is expected")
    return int(text)
