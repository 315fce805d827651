"""The same for several operands: good results on standard output, each error on its own line."""

import sys
from collections.abc import Callable, Iterable

from lamina.errors import LaminaError


def for_each(
    names: Iterable[str],
    work: Callable[[str], None],
    told: type[LaminaError] | tuple[()] = (),
) -> int:
    """Call `work` on each name, go on after an error; 1 when there was one that is not just `told`.

    So a script may clear away by force what need not be there.
    """
    status = 0
    for name in names:
        try:
            work(name)
        except LaminaError as error:
            sys.stdout.flush()
            print(f"lamina: {error}", file=sys.stderr)
            status = status if isinstance(error, told) else 1
    return status
