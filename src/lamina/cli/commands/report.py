"""`lamina report`."""

from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.looking import ELSEWHERE, WHERE, look
from lamina.cli.main import Context
from lamina.cli.session import engine
from lamina.cli.streams import written
from lamina.views.report import page

USAGE = Usage(
    "[OPTIONS] IMAGE [IMAGE...]",
    "Write an HTML page of where the bytes are: shared layers, paths, waste, growth.\n" + WHERE,
    (
        Flag("output", "o", "FILE", "where to (default report.html; -: standard output)"),
        *ELSEWHERE,
    ),
    1,
    None,
)
_AREAS = 6000  # of all images' maps together
_LEAST = 120  # of one


def run(context: Context, given: Parsed) -> int:
    """Write it; images are shown in the order they are given."""
    names = given.operands
    most = max(_AREAS // len(names), _LEAST)
    with engine(context) as opened:
        portraits = [look(opened, given, name).portrait(name, most=most) for name in names]
    target = given.one("output") or "report.html"
    with written(None if target == "-" else target) as write:
        write(page(portraits).encode())
    return 0
