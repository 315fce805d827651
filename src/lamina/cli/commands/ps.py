"""`lamina ps`."""

import time

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
        Flag("filter", "f", "KEY=VALUE", "name=TEXT, status=STATE, label=KEY[=VALUE]", True),
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
    last = "1" if given.has("latest") else given.one("last")
    everything = given.has("all") or last is not None or bool(given.all("filter"))
    now = time.time()
    with engine(context) as opened:
        found = opened.containers.list(everything=everything)
        if last is not None:
            found = found[: int(last)] if last.isdigit() else found
        rows = [container_row(each, now, size=given.has("size")) for each in found]
    rows = [row for row in rows if _matches(row, given.all("filter"))]
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


def _matches(row: dict[str, object], filters: list[str]) -> bool:
    for text in filters:
        key, _, value = text.partition("=")
        if key == "name":
            fits = value in str(row["Names"])
        elif key == "status":
            fits = value == row["State"]
        elif key == "label":
            pairs = str(row["Labels"]).split(",")
            fits = value in pairs or any(pair.startswith(f"{value}=") for pair in pairs)
        else:
            raise UsageError(f"Invalid filter {key!r}", hint="there are name, status, label")
        if not fits:
            return False
    return True
