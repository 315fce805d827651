"""Pieces of work carried out at once by a few threads, while the caller's own thread looks on.

A piece is an iterator that gives the number of another piece whenever it must wait for that one;
a piece that has to wait costs no thread. The first failure stops all, and is what the caller sees.

The caller's thread carries out what the pieces send it on errands for: what must hear a Ctrl-C at
once, such as a pull, and what is no work for several threads.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Generic, TypeVar

from lamina.build.stop import Stop, Stopped

Piece = Iterator[int]
T = TypeVar("T")


class Crew:
    """Works off pieces; used once. With a `size` of 1 the caller does it all, in order."""

    def __init__(self, size: int, stop: Stop) -> None:
        self._size = size
        self._stop = stop
        self._changed = threading.Condition()
        self._pieces: dict[int, Piece] = {}
        self._ready: deque[int] = deque()
        self._parked: dict[int, list[int]] = {}
        self._done: set[int] = set()
        self._errands: deque[Callable[[], None]] = deque()
        self._failure: BaseException | None = None
        self._caller = threading.get_ident()

    def work_off(self, pieces: Mapping[int, Piece]) -> None:
        """Carry out all of them; a piece waits only for such as stand before it.

        Raises what the first that failed raised, when none is at work any more.
        """
        if self._size == 1 or len(pieces) == 1:
            for piece in pieces.values():
                for _ in piece:
                    pass
            return
        self._pieces = dict(pieces)
        self._ready.extend(pieces)
        threads = [
            threading.Thread(target=self._work, name="lamina-stage", daemon=True)
            for _ in range(min(self._size, len(pieces)))
        ]
        try:
            for thread in threads:
                thread.start()
            self._oversee()
        except BaseException as error:
            self._fail(error)
            raise
        finally:
            for thread in threads:
                if thread.ident is not None:  # it was started
                    thread.join()
        if self._failure is not None:
            raise self._failure

    def check(self) -> None:
        """Raise `Stopped` when another piece failed."""
        self._stop.check()

    @property
    def is_stopping(self) -> bool:
        """Whether a piece failed, or the caller gave up."""
        return self._stop.is_asked

    def by_caller(self, act: Callable[[], T]) -> T:
        """The outcome of `act`, which the caller's thread carries out; raises what it raises."""
        if threading.get_ident() == self._caller:
            return act()
        errand = _Errand(act)
        with self._changed:
            self._errands.append(errand)
            self._changed.notify_all()
            self._changed.wait_for(lambda: errand.is_done or self._failure)
        self._stop.check()
        return errand.outcome()

    def _oversee(self) -> None:
        while (errand := self._next_errand()) is not None:
            errand()
            with self._changed:
                self._changed.notify_all()

    def _next_errand(self) -> Callable[[], None] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._errands or self._is_over)
            return None if self._is_over else self._errands.popleft()

    @property
    def _is_over(self) -> bool:
        return self._failure is not None or len(self._done) == len(self._pieces)

    def _work(self) -> None:
        try:
            while (number := self._next()) is not None:
                self._advance(number)
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            self._fail(error)

    def _next(self) -> int | None:
        with self._changed:
            self._changed.wait_for(lambda: self._ready or self._is_over)
            return None if self._is_over else self._ready.popleft()

    def _advance(self, number: int) -> None:
        """Go on with a piece to its end, or until it must wait."""
        for needed in self._pieces[number]:
            with self._changed:
                if needed not in self._done:
                    self._parked.setdefault(needed, []).append(number)
                    return
        with self._changed:
            self._done.add(number)
            self._ready.extend(self._parked.pop(number, ()))
            self._changed.notify_all()

    def _fail(self, error: BaseException) -> None:
        with self._changed:
            self._failure = self._failure or error
            self._changed.notify_all()
        self._stop.ask()


class _Errand(Generic[T]):
    """Something to be done by another thread, and how it ended."""

    def __init__(self, act: Callable[[], T]) -> None:
        self._act = act
        self._found: list[T] = []
        self._error: Exception | None = None

    @property
    def is_done(self) -> bool:
        return bool(self._found) or self._error is not None

    def __call__(self) -> None:
        try:
            self._found.append(self._act())
        except Exception as error:  # noqa: BLE001 - raised again by who sent for it
            self._error = error

    def outcome(self) -> T:
        if self._error is not None:
            raise self._error
        if not self._found:
            raise Stopped("the errand was given up")
        return self._found[0]
