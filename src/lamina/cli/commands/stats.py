"""`lamina stats`."""

import os
import sys
import time
from collections.abc import Sequence

from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.output import show
from lamina.cli.session import engine
from lamina.engine.container import Container
from lamina.engine.engine import Engine
from lamina.errors import ContainerNotFound
from lamina.views.stats import Measured, stats_row

USAGE = Usage(
    "[OPTIONS] [CONTAINER...]",
    "Show what running containers use, once a second until interrupted",
    (
        Flag("all", "a", "", "all, not only running ones"),
        Flag("format", "", "FORMAT", "table, json, or a Go template"),
        Flag("no-stream", "", "", "only once"),
        Flag("no-trunc", "", "", "do not cut IDs"),
    ),
    0,
    None,
)
_COLUMNS = (
    ("ID", "CONTAINER ID"),
    ("Name", "NAME"),
    ("CPUPerc", "CPU %"),
    ("MemUsage", "MEM USAGE / LIMIT"),
    ("MemPerc", "MEM %"),
    ("NetIO", "NET I/O"),
    ("BlockIO", "BLOCK I/O"),
    ("PIDs", "PIDS"),
)
_EVERY = 1.0  # seconds
_HOME, _REST, _LINE = "\033[H", "\033[J", "\033[K"  # ECMA-48: to the top, clear below, clear right


def run(context: Context, given: Parsed) -> int:
    """Show, of two looks a second apart."""
    names = given.operands
    with engine(context) as opened:
        before = _looks(_meant(opened, names, everything=given.has("all")))
        while True:
            time.sleep(_EVERY)
            now = _looks(_meant(opened, names, everything=given.has("all")))
            rows = [
                stats_row(
                    _with_past(each, before),
                    short=not given.has("no-trunc"),
                )
                for each in now.values()
            ]
            _draw(show(rows, _COLUMNS, given.one("format")), still=given.has("no-stream"))
            if given.has("no-stream"):
                return 0
            before = now


def _meant(opened: Engine, names: Sequence[str], *, everything: bool) -> list[Container]:
    """Those that are named, which must be there; else all, or those that run."""
    if names:
        return [opened.containers.get(name) for name in names]
    return opened.containers.list(everything=everything)


def _looks(containers: Sequence[Container]) -> dict[str, Measured]:
    found: dict[str, Measured] = {}
    for each in containers:
        try:
            found[each.id] = Measured(each, None, each.usage())
        except ContainerNotFound:
            continue  # it was removed just now
    return found


def _with_past(measured: Measured, before: dict[str, Measured]) -> Measured:
    known = before.get(measured.container.id)
    return measured._replace(before=known.now if known is not None else None)


def _draw(text: str, *, still: bool) -> None:
    """Over what stood there before, on a terminal."""
    if not still and os.isatty(sys.stdout.fileno()):
        lines = "".join(f"{line}{_LINE}\n" for line in text.splitlines())
        text = f"{_HOME}{lines}{_REST}"
    print(text, end="", flush=True)
