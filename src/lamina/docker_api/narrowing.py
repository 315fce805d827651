"""The filters of every prune: made before some time, with and without some labels."""

import time

from lamina.docker_api.request import Filters
from lamina.values.moments import moment
from lamina.values.narrowing import Narrowing

KNOWN = ("label", "label!", "until")


def narrowed(filters: Filters) -> Narrowing:
    """What they come to; raises `UsageError` for what is no time."""
    now = time.time()
    times = [found for text in filters.get("until", ()) if (found := moment(text, now)) is not None]
    return Narrowing(min(times, default=None), filters.get("label", ()), filters.get("label!", ()))
