"""`lamina images`."""

import time

from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.output import show
from lamina.cli.session import engine
from lamina.errors import UsageError
from lamina.views.images import full_image_rows, image_rows

USAGE = Usage(
    "[OPTIONS] [REPOSITORY[:TAG]]",
    "List images, newest first",
    (
        Flag("all", "a", "", "accepted for docker's sake: there are no hidden images"),
        Flag("digests", "", "", "show digests"),
        Flag(
            "filter",
            "f",
            "KEY=VALUE",
            "dangling=true|false, label=KEY[=VALUE], reference=PATTERN, before=, since=",
            True,
        ),
        Flag("format", "", "FORMAT", "table, json, or a Go template"),
        Flag("from", "", "STORE", "of docker:DIR or containers-storage:DIR, which is only read"),
        Flag("no-trunc", "", "", "do not cut IDs"),
        Flag("quiet", "q", "", "only IDs"),
    ),
    0,
    1,
)

_COLUMNS = (
    ("Repository", "REPOSITORY"),
    ("Tag", "TAG"),
    ("ID", "IMAGE ID"),
    ("CreatedSince", "CREATED"),
    ("Size", "SIZE"),
)


_FILTERS = ("before", "dangling", "label", "reference", "since")


def run(context: Context, given: Parsed) -> int:
    """List."""
    source = given.one("from")
    rows = _own_rows(context, given) if source is None else _foreign_rows(source, given)
    if not given.has("no-trunc"):
        for row in rows:
            row["ID"] = str(row["ID"]).removeprefix("sha256:")[:12]
    if given.has("quiet"):
        print("".join(f"{row['ID']}\n" for row in rows), end="")
        return 0
    print(show(rows, _columns(given.has("digests")), given.one("format")), end="")
    return 0


def _own_rows(context: Context, given: Parsed) -> list[dict[str, object]]:
    filters = _filters(given.all("filter"))
    wanted = [*given.operands, *filters["reference"]]
    dangling = _truth(filters["dangling"])
    with engine(context) as opened:
        images = opened.images.list(dangling=dangling)
        for label in filters["label"]:
            images = [image for image in images if _has_label(image.labels, label)]
        for name in filters["before"]:
            limit = opened.images.get(name).created
            images = [image for image in images if image.created < limit]
        for name in filters["since"]:
            limit = opened.images.get(name).created
            images = [image for image in images if image.created > limit]
        told = image_rows if given.one("format") in (None, "", "table") else full_image_rows
        return told(images, time.time(), wanted)


def _foreign_rows(source: str, given: Parsed) -> list[dict[str, object]]:
    if given.all("filter"):
        raise UsageError("--filter is for images of this store", hint="leave out --from")
    from lamina.engine.abroad import look
    from lamina.views.abroad import foreign_image_rows

    name = given.operands[0] if given.operands else None
    return foreign_image_rows(look(source), name, time.time())


def _columns(digests: bool) -> tuple[tuple[str, str], ...]:
    if not digests:
        return _COLUMNS
    return (*_COLUMNS[:2], ("Digest", "DIGEST"), *_COLUMNS[2:])


def _filters(texts: list[str]) -> dict[str, list[str]]:
    """Every value of each filter: an image must fit all of them."""
    found: dict[str, list[str]] = {key: [] for key in _FILTERS}
    for text in texts:
        key, _, value = text.partition("=")
        if key not in found:
            raise UsageError(f"Invalid filter {key!r}", hint=f"there are {', '.join(_FILTERS)}")
        found[key].append(value)
    return found


def _truth(texts: list[str]) -> bool | None:
    """What `dangling` says last; None where nobody says anything."""
    if not texts:
        return None
    word = texts[-1].lower()
    if word not in ("true", "1", "false", "0"):
        raise UsageError(f"dangling is true or false, and not {word[:40]!r}")
    return word in ("true", "1")


def _has_label(labels: dict[str, str], wanted: str) -> bool:
    key, equals, value = wanted.partition("=")
    return key in labels and (not equals or labels[key] == value)
