"""`lamina ps`."""

import time
from contextlib import suppress

from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.output import show
from lamina.cli.session import engine
from lamina.engine.container import Container
from lamina.engine.engine import Engine
from lamina.errors import ContainerNotFound, UsageError
from lamina.views.containers import container_row

USAGE = Usage(
    "[OPTIONS]",
    "List running containers, or all",
    (
        Flag("all", "a", "", "all, not only running ones"),
        Flag("filter", "f", "KEY=VALUE", "name=REGEX, status=STATE, ancestor=IMAGE, ...", True),
        Flag("format", "", "FORMAT", "table, json, or a Go template"),
        Flag("last", "n", "NUMBER", "the newest ones, whatever their state"),
        Flag("latest", "l", "", "the newest one"),
        Flag("no-trunc", "", "", "do not cut IDs and commands"),
        Flag("quiet", "q", "", "only IDs"),
        Flag("size", "s", "", "measure what each wrote"),
    ),
)
_COLUMNS = (
    ("ID", "CONTAINER ID"),
    ("Image", "IMAGE"),
    ("Command", "COMMAND"),
    ("RunningFor", "CREATED"),
    ("Status", "STATUS"),
    ("Ports", "PORTS"),
    ("Names", "NAMES"),
)


def run(context: Context, given: Parsed) -> int:
    """List."""
    last, filters = _last(given), given.all("filter")
    by_status = any(text.startswith("status=") for text in filters)
    everything = given.has("all") or last is not None or by_status
    now = time.time()
    with engine(context) as opened:
        found = opened.containers.list(everything=everything)
        if filters:
            found = _fitting(opened, found, filters)
        size, short = given.has("size"), not given.has("no-trunc")
        rows = []
        for each in found[:last]:
            with suppress(ContainerNotFound):  # it was removed meanwhile
                rows.append(container_row(each, now, size=size, short=short))
    if given.has("quiet"):
        print("".join(f"{row['ID']}\n" for row in rows), end="")
        return 0
    columns = (*_COLUMNS, ("Size", "SIZE")) if given.has("size") else _COLUMNS
    print(show(rows, columns, given.one("format")), end="")
    return 0


def _fitting(opened: Engine, found: list[Container], filters: list[str]) -> list[Container]:
    from lamina.views.psfilters import (
        tests_of,
    )  # regular expressions are dear where none is asked for

    tests = tests_of(opened, filters)
    return [each for each in found if all(test(each) for test in tests)]


def _last(given: Parsed) -> int | None:
    text = "1" if given.has("latest") else given.one("last")
    if text is not None and not text.isdecimal():
        raise UsageError(f"--last {text!r} is no number of containers")
    return int(text) if text is not None else None
