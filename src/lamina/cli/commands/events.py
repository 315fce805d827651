"""`lamina events`."""

import time
from collections.abc import Callable

from lamina.analyze.paths import printable
from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.output import document
from lamina.cli.session import engine
from lamina.errors import UsageError
from lamina.metadata.events import LifecycleEvent
from lamina.values.moments import moment
from lamina.views.events import event_document, event_line

USAGE = Usage(
    "[OPTIONS]",
    "Show what happens to containers, images and volumes, until interrupted",
    (
        Flag("filter", "f", "KEY=VALUE", "type=TYPE, event=ACTION, container=NAME, ...", True),
        Flag("format", "", "FORMAT", "json, or a Go template"),
        Flag("since", "", "TIME", "from then on: 2026-01-31T12:00:00, or how long ago: 90s, 1h30m"),
        Flag("until", "", "TIME", "before then; nothing later is waited for"),
    ),
)


def run(context: Context, given: Parsed) -> int:
    """Show each as it comes."""
    now = time.time()
    since, until = (moment(given.one(each), now) for each in ("since", "until"))
    shown = _shower(given.one("format"))
    with (
        engine(context) as opened,
        opened.events(since=since, until=until, filters=_filters(given.all("filter"))) as events,
    ):
        for event in events:
            print(shown(event), flush=True)
    return 0


def _shower(format_: str | None) -> Callable[[LifecycleEvent], str]:
    if format_ in (None, ""):
        return lambda event: printable(event_line(event))
    form = "json" if format_ == "{{json .}}" else format_
    return lambda event: document(event_document(event), form).rstrip("\n")


def _filters(texts: list[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"the filter {key!r} has no value", hint=f"write {key}=VALUE")
        found.setdefault(key, []).append(value)
    return found
