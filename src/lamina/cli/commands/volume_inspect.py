"""`lamina volume inspect`."""

from lamina.cli.each import for_each
from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.output import document
from lamina.cli.session import engine
from lamina.views.volumes import volume_document

USAGE = Usage(
    "[OPTIONS] VOLUME [VOLUME...]",
    "Show everything of volumes as JSON",
    (Flag("format", "f", "FORMAT", "json, or a Go template over each document"),),
    1,
    None,
)


def run(context: Context, given: Parsed) -> int:
    """Show each that there is; 1 when one is missing."""
    found: list[dict[str, object]] = []
    with engine(context) as opened:

        def look(name: str) -> None:
            found.append(volume_document(opened.volumes.get(name)))

        status = for_each(given.operands, look)
    format_ = given.one("format")
    if not format_:
        print(document(found, None), end="")
    for each in found if format_ else ():
        print(document(each, format_), end="")
    return status
