"""Thins what a build prints: of each step's own output the first lines, and how many follow.

Knows the look of `lamina build`'s lines and nothing else.
"""

import re
from collections import deque
from collections.abc import Iterable, Iterator

_SHOWN = 2
_KEPT = 12
_OUTPUT = re.compile(r"#(\d+) (?!\[|DONE|CACHED)")


def thinned(lines: Iterable[str], kept: deque[str]) -> Iterator[str]:
    """The lines to show; `kept` always holds the last ones unshown, for a failure's sake."""
    shown = hidden = 0
    for line in lines:
        if not _OUTPUT.match(line):
            if hidden:
                yield f"{line.split()[0]} ... {hidden} lines more"
            shown = hidden = 0
            kept.clear()
            yield line
        elif shown < _SHOWN:
            shown += 1
            yield line
        else:
            hidden += 1
            kept.append(line)


def keeper() -> deque[str]:
    """What `thinned` may keep the last unshown lines in."""
    return deque(maxlen=_KEPT)
