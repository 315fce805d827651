"""`lamina tree`: the picture of images over the layers they share."""

import json
import os
import sys

from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.picture import Picture
from lamina.cli.session import engine
from lamina.views.sharing import stored_of, strata_of, tree_document

USAGE = Usage(
    "[OPTIONS] [IMAGE...]",
    "Draw images over the layers they share; one block is one stored layer",
    (
        Flag("ascii", "", "", "draw with plain characters"),
        Flag("format", "", "FORMAT", "json, or a Go template"),
    ),
    0,
    None,
)


def run(context: Context, given: Parsed) -> int:
    """Draw."""
    with engine(context) as opened:
        wanted = {opened.images.get(name).id for name in given.operands}
        images = [each for each in opened.system.images() if not wanted or each.id in wanted]
    format_ = given.one("format")
    if format_ == "json":
        print(json.dumps(tree_document(images), separators=(",", ":")))
        return 0
    if format_:
        from lamina.cli.output import document

        print(document(tree_document(images), format_), end="")
        return 0
    plain = given.has("ascii") or not _has_boxes()
    picture = Picture(strata_of(images), _width(), plain, stored_of(images))
    print(picture.text(), end="")
    return 0


def _has_boxes() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") in ("utf8", "utf16")


def _width() -> int:
    try:
        return os.get_terminal_size(1).columns
    except OSError:
        return int(os.environ.get("COLUMNS", "100") or 100)
