"""The same for several operands: good results on standard output, each error on its own line."""

import sys
from collections.abc import Callable, Iterable

from lamina.errors import LaminaError


def for_each(names: Iterable[str], work: Callable[[str], None]) -> int:
    """Call `work` on each name, go on after an error; 1 when there was one."""
    status = 0
    for name in names:
        try:
            work(name)
        except LaminaError as error:
            sys.stdout.flush()
            print(f"lamina: {error}", file=sys.stderr)
            status = 1
    return status
