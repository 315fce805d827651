"""`lamina volume ls`."""

from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.output import show
from lamina.cli.session import engine
from lamina.engine.volumes import Volume
from lamina.errors import UsageError
from lamina.views.volumes import volume_row

USAGE = Usage(
    "[OPTIONS]",
    "List volumes",
    (
        Flag("filter", "f", "KEY=VALUE", "name=TEXT, label=KEY[=VALUE], dangling=true|false", True),
        Flag("format", "", "FORMAT", "table, json, or a Go template"),
        Flag("quiet", "q", "", "only names"),
        Flag("size", "s", "", "measure each"),
    ),
)
_COLUMNS = (("Driver", "DRIVER"), ("Name", "VOLUME NAME"))


def run(context: Context, given: Parsed) -> int:
    """List."""
    wanted = [_filter(text) for text in given.all("filter")]
    with engine(context) as opened:
        found = [each for each in opened.volumes.list() if _matches(each, wanted)]
        rows = [volume_row(each, size=given.has("size")) for each in found]
    if given.has("quiet"):
        print("".join(f"{row['Name']}\n" for row in rows), end="")
        return 0
    columns = (*_COLUMNS, ("Size", "SIZE")) if given.has("size") else _COLUMNS
    print(show(rows, columns, given.one("format")), end="")
    return 0


def _filter(text: str) -> tuple[str, str]:
    key, _, value = text.partition("=")
    if key not in ("name", "label", "dangling"):
        raise UsageError(f"Invalid filter {key!r}", hint="there are name, label, dangling")
    if key == "dangling" and value.lower() not in ("true", "1", "false", "0"):
        raise UsageError(f"dangling is true or false, and not {value[:40]!r}")
    return key, value


def _matches(volume: Volume, wanted: list[tuple[str, str]]) -> bool:
    return all(_has(volume, key, value) for key, value in wanted)


def _has(volume: Volume, key: str, value: str) -> bool:
    if key == "name":
        return value in volume.name
    if key == "dangling":
        return (value.lower() in ("true", "1")) is not bool(volume.users)
    name, equals, wanted = value.partition("=")
    return name in volume.labels and (not equals or volume.labels[name] == wanted)
