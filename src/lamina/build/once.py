"""Something that is made by the first who asks for it, whichever thread that is."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Once(Generic[T]):
    """Calls `make` at most once, and gives everybody what came of it."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: list[T] = []
        self._lock = threading.Lock()

    def __call__(self) -> T:
        """What was made; raises what `make` raises, and then the next one tries again."""
        with self._lock:
            if not self._made:
                self._made.append(self._make())
            return self._made[0]
