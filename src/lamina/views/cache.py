"""The build cache as rows: what a step was, when it was made, and what it holds; cache mounts."""

from collections.abc import Sequence

from lamina.engine.cachemounts import CacheMount
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
            "Description": in_a_line(step.what),
        }
        for step in steps
    ]


def mount_rows(mounts: Sequence[CacheMount], now: float) -> list[dict[str, object]]:
    """A row for each cache mount; `now` in seconds since the epoch."""
    return [
        {
            "ID": in_a_line(mount.title),
            "Size": human(mount.size),
            "UsedSince": f"{age(now - mount.used)} ago",
            "InUse": str(mount.in_use).lower(),
        }
        for mount in mounts
    ]


def in_a_line(text: str) -> str:
    """In one line, without what would steer a terminal."""
    return " ".join(
        "".join(c if c.isprintable() or c.isspace() else "\ufffd" for c in text).split()
    )
