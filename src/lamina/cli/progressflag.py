"""`--progress`, as every command has it that shows how its work goes on; which kind is meant."""

import os
from typing import TextIO

from lamina.cli.flags import Flag, Parsed
from lamina.errors import UsageError

PROGRESS = Flag(
    "progress", "", "KIND", "auto (tty on a terminal, else plain), json (rawjson) or quiet"
)
JSON = Flag("json", "", "", "tell every event as JSON on standard error (--progress json)")


_KINDS = ("auto", "tty", "plain", "json", "rawjson", "quiet")


def is_quiet(given: Parsed) -> bool:
    """Whether only the result is to be said; raises `UsageError` for a kind that there is not."""
    kind = given.one(PROGRESS.name)
    if kind and kind not in _KINDS:
        raise UsageError(
            f"there is no progress {kind!r}", hint="choose auto, tty, plain, json or quiet"
        )
    return given.has("quiet") or (kind == "quiet" and not given.has(JSON.name))


def kind_of_progress(given: Parsed, out: TextIO, where: str) -> str:
    """tty, plain, json or quiet; `out`, the standard `where`, is what would be drawn on.

    Raises `UsageError`.
    """
    if is_quiet(given):
        return "quiet"
    kind = "json" if given.has(JSON.name) else given.one(PROGRESS.name) or "auto"
    if kind == "auto":
        return "tty" if can_be_drawn_on(out) else "plain"
    if kind == "rawjson":
        return "json"
    if kind == "tty" and not out.isatty():
        raise UsageError(
            f"--progress tty needs a terminal on standard {where}", hint="choose plain"
        )
    return kind


def can_be_drawn_on(out: TextIO) -> bool:
    """Whether it is a terminal whose cursor can be moved."""
    return out.isatty() and os.environ.get("TERM") not in (None, "", "dumb")
