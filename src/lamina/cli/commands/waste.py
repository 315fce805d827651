"""`lamina waste`."""

import sys
from fractions import Fraction

from lamina.analyze.waste import Waste
from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.looking import ELSEWHERE, WHERE, look
from lamina.cli.main import Context
from lamina.cli.output import document
from lamina.cli.session import engine
from lamina.cli.streams import written
from lamina.cli.wastetext import share, text
from lamina.dockerfile import Dockerfile, parse
from lamina.errors import UsageError, from_oserror
from lamina.values import size
from lamina.views.waste import sarif, waste_document

USAGE = Usage(
    "[OPTIONS] IMAGE",
    "Show which bytes of an image nobody sees, which instruction wastes them, and the repair.\n"
    + WHERE,
    (
        Flag("all", "a", "", "every finding, and not the largest alone"),
        Flag("file", "f", "FILE", "the Dockerfile the image was built from, to name its lines"),
        Flag("format", "", "FORMAT", "json, or a Go template over that document"),
        Flag("json", "", "", "the same as --format json"),
        Flag("max-waste", "", "LIMIT", "exit with 1 when more is wasted: 5%, or a size as 20m"),
        Flag("sarif", "", "FILE", "write the findings for code scanning as well (-: only them)"),
        *ELSEWHERE,
    ),
    1,
    1,
)
_FILE_LIMIT = 16 << 20  # bytes: what the parser takes


def run(context: Context, given: Parsed) -> int:
    """Show, and hold the image to the limit."""
    name = given.operands[0]
    limit = _limit(given.one("max-waste"))
    file = given.one("file")
    dockerfile = _dockerfile(file) if file is not None else None
    with engine(context) as opened:
        found = look(opened, given, name).waste(dockerfile=dockerfile)
    target = given.one("sarif")
    if target is not None:
        told = document(sarif(name, found, file or "Dockerfile"), None)
        with written(None if target == "-" else target) as write:
            write(told.encode())
    if target != "-":
        format_ = "json" if given.has("json") else given.one("format")
        print(_shown(name, found, format_, given.has("all")), end="")
    return _judged(name, found, limit)


def _shown(name: str, found: Waste, format_: str | None, everything: bool) -> str:
    if format_ in (None, ""):
        return text(name, found, everything=everything)
    return document(waste_document(name, found), format_)


def _dockerfile(path: str) -> Dockerfile:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return parse(file.read(_FILE_LIMIT + 1), filename=path)
    except OSError as error:
        raise from_oserror(error, "reading", path) from error


def _limit(given: str | None) -> Fraction | int | None:
    """A share of what is stored, or bytes."""
    if given is None:
        return None
    number = given.strip().removesuffix("%")
    if not given.strip().endswith("%"):
        return size.parse(given)
    try:
        percent = Fraction(number)
    except (ValueError, ZeroDivisionError):
        percent = Fraction(-1)
    if not 0 <= percent <= 100:
        raise UsageError(f"invalid --max-waste {given!r}", hint="write it as 5%, 0.5% or 20m")
    return percent / 100


def _judged(name: str, found: Waste, limit: Fraction | int | None) -> int:
    if limit is None:
        return 0
    allowed = limit * found.stored if isinstance(limit, Fraction) else limit
    if found.wasted <= allowed:
        return 0
    percent = share(found.wasted, found.stored)
    wasted = f"{size.human(found.wasted, 4)} ({percent})"
    most = f"{float(limit * 100):g}%" if isinstance(limit, Fraction) else size.human(limit, 4)
    print(f"lamina: {name} wastes {wasted}, more than {most}", file=sys.stderr)
    return 1
