"""Which of many things are meant: those made before some time, with and without some labels."""

from collections.abc import Mapping
from typing import NamedTuple


class Narrowing(NamedTuple):
    """`until` in seconds since the epoch; labels as `KEY` or `KEY=VALUE`, all of them wanted."""

    until: float | None = None
    labels: tuple[str, ...] = ()
    without: tuple[str, ...] = ()

    def admits(self, created: float, labels: Mapping[str, str]) -> bool:
        """Whether a thing made then, with these labels, is meant."""
        if self.until is not None and created >= self.until:
            return False
        wanted = all(has_label(labels, text) for text in self.labels)
        return wanted and not any(has_label(labels, text) for text in self.without)


def has_label(labels: Mapping[str, str], wanted: str) -> bool:
    """Whether there is such a label: `KEY`, or `KEY=VALUE`."""
    key, equals, value = wanted.partition("=")
    return key in labels and (not equals or labels[key] == value)
