"""`lamina ps`."""

import time
from collections.abc import Callable

from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.output import show
from lamina.cli.session import engine
from lamina.cli.tables import shortened
from lamina.errors import UsageError
from lamina.views.containers import container_row

USAGE = Usage(
    "[OPTIONS]",
    "List running containers, or all",
    (
        Flag("all", "a", "", "all, not only running ones"),
        Flag("filter", "f", "KEY=VALUE", "id=ID, name=TEXT, status=STATE, label=KEY[=VALUE]", True),
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
    last, filters = _last(given), _filters(given)
    everything = given.has("all") or last is not None or bool(filters)
    now = time.time()
    with engine(context) as opened:
        found = opened.containers.list(everything=everything)
        if last is not None:
            found = found[:last]
        rows = [container_row(each, now, size=given.has("size")) for each in found]
    rows = [row for row in rows if _matches(row, filters)]
    if not given.has("no-trunc"):
        for row in rows:
            row["ID"] = str(row["ID"])[:12]
            row["Command"] = '"' + shortened(str(row["Command"])[1:-1], 20) + '"'
    if given.has("quiet"):
        print("".join(f"{row['ID']}\n" for row in rows), end="")
        return 0
    columns = (*_COLUMNS, ("Size", "SIZE")) if given.has("size") else _COLUMNS
    print(show(rows, columns, given.one("format")), end="")
    return 0


def _filters(given: Parsed) -> list[tuple[str, str]]:
    found = []
    for text in given.all("filter"):
        key, _, value = text.partition("=")
        if key not in _FILTERS:
            raise UsageError(f"Invalid filter {key!r}", hint=f"there are {', '.join(_FILTERS)}")
        found.append((key, value))
    return found


def _matches(row: dict[str, object], filters: list[tuple[str, str]]) -> bool:
    return all(_FILTERS[key](row, value) for key, value in filters)


def _has_label(row: dict[str, object], wanted: str) -> bool:
    pairs = str(row["Labels"]).split(",")
    return wanted in pairs or any(pair.startswith(f"{wanted}=") for pair in pairs)


_FILTERS: dict[str, Callable[[dict[str, object], str], bool]] = {
    "id": lambda row, wanted: str(row["ID"]).startswith(wanted),
    "name": lambda row, wanted: wanted in str(row["Names"]),
    "status": lambda row, wanted: wanted == row["State"],
    "label": _has_label,
}


def _last(given: Parsed) -> int | None:
    text = "1" if given.has("latest") else given.one("last")
    if text is not None and not text.isdecimal():
        raise UsageError(f"--last {text!r} is no number of containers")
    return int(text) if text is not None else None
