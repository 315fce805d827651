"""The build cache as rows: what a step was, when it was made, and what it holds."""

from collections.abc import Sequence

from lamina.engine.system import CachedStep
from lamina.values.ages import age
from lamina.values.size import human


def cache_rows(steps: Sequence[CachedStep], now: float) -> list[dict[str, object]]:
    """A row for each step; `now` in seconds since the epoch."""
    return [
        {
            "ID": step.key.removeprefix("sha256:"),
            "Type": step.operation,
            "CreatedSince": f"{age(now - step.created)} ago",
            "Size": human(step.size),
            "Description": _line(step.what),
        }
        for step in steps
    ]


def _line(text: str) -> str:
    """In one line, without what would steer a terminal."""
    return " ".join(
        "".join(c if c.isprintable() or c.isspace() else "\ufffd" for c in text).split()
    )
