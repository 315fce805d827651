"""Regular expressions of whoever asks, searched for in time linear in the text, as RE2 does.

Python's own backtrack: `(a+)+$` holds up a whole process. Here a set of places in the expression
is carried through the text (Thompson 1968), at most `_MOST_STEPS` of them at each character;
Python's are asked about single characters alone. Knows whether something is found, not where.
"""

import re
from typing import NamedTuple

_LONGEST = 200  # characters of an expression
_MOST_STEPS = 1000  # places in one, its counted repeats written out; RE2 repeats as often
_DEEPEST = 50  # groups within groups

_ATOM = re.compile(
    r"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|.)|\[\^?\]?(?:\\.|[^\]\\])*\]|[^\\\[()|*+?]", re.DOTALL
)
_REPEAT = re.compile(r"[*+?]|\{[0-9]+(?:,[0-9]*)?\}")
_NOWHERE = ("^", "$", r"\A", r"\Z", r"\b", r"\B")  # what takes no character


class NotLinear(ValueError):
    """Text that is no regular expression, or one of more than can be had here."""


class _Step(NamedTuple):
    """One place in an expression: what must hold there, and where it goes on, counted from it."""

    test: re.Pattern[str] | None
    consumes: bool
    goes: tuple[int, ...] = (1,)


_Steps = tuple[_Step, ...]


class LinearPattern:
    """A regular expression without backreferences and lookaround."""

    def __init__(self, text: str) -> None:
        """Raises `NotLinear`."""
        if len(text) > _LONGEST:
            raise NotLinear(f"it has more than {_LONGEST} characters")
        self._steps = _Reader(text).whole()

    def search(self, text: str) -> bool:
        """Whether it is found anywhere in `text`."""
        here: set[int] = set()
        for at in range(len(text) + 1):
            reached = self._reached([0, *here], text, at)
            if len(self._steps) in reached:
                return True
            here = {place + 1 for place in reached if self._takes(place, text, at)}
        return False

    def _takes(self, place: int, text: str, at: int) -> bool:
        step = self._steps[place]
        return step.consumes and step.test is not None and bool(step.test.match(text, at))

    def _reached(self, todo: list[int], text: str, at: int) -> set[int]:
        """The places that are come to without a character."""
        reached: set[int] = set()
        while todo:
            place = todo.pop()
            if place in reached:
                continue
            reached.add(place)
            if place < len(self._steps):
                step = self._steps[place]
                if not step.consumes and (step.test is None or step.test.match(text, at)):
                    todo += (place + each for each in step.goes)
        return reached


class _Reader:
    """Reads an expression from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def whole(self) -> _Steps:
        found = self._either(0)
        if self._at < len(self._text):
            raise NotLinear(f"unbalanced parenthesis at position {self._at}")
        return found

    def _either(self, depth: int) -> _Steps:
        if depth > _DEEPEST:
            raise NotLinear(f"it has more than {_DEEPEST} groups within groups")
        found = self._row(depth)
        while self._taken("|"):
            other = self._row(depth)
            found = (_split(1, len(found) + 2), *found, _split(len(other) + 1), *other)
        return found

    def _row(self, depth: int) -> _Steps:
        found: _Steps = ()
        while self._at < len(self._text) and self._text[self._at] not in "|)":
            found = _bounded((*found, *self._repeated(depth)))
        return found

    def _repeated(self, depth: int) -> _Steps:
        piece = self._piece(depth)
        said = _REPEAT.match(self._text, self._at)
        if said is None:
            return piece
        self._at = said.end()
        self._taken("?")  # as few as can be: found all the same
        if _REPEAT.match(self._text, self._at):
            raise NotLinear(f"multiple repeat at position {self._at}")
        least, most = _counts(said[0])
        return _repeat(piece, least, most)

    def _piece(self, depth: int) -> _Steps:
        if self._taken("("):
            return self._group(depth)
        atom = _ATOM.match(self._text, self._at)
        if atom is None:
            raise NotLinear(f"nothing to repeat, or no end, at position {self._at}")
        self._at = atom.end()
        token = atom[0]
        if token[0] == "\\" and token[1] in "123456789":
            raise NotLinear("it refers back to a group")
        try:
            return (_Step(re.compile(token), token not in _NOWHERE),)
        except re.error as error:
            raise NotLinear(str(error)) from None

    def _group(self, depth: int) -> _Steps:
        if self._taken("?") and not self._taken(":"):
            raise NotLinear("it has a group that begins with (?")
        found = self._either(depth + 1)
        if not self._taken(")"):
            raise NotLinear("missing ), unterminated group")
        return found

    def _taken(self, text: str) -> bool:
        is_next = self._text.startswith(text, self._at)
        self._at += len(text) * is_next
        return is_next


def _split(*goes: int) -> _Step:
    return _Step(None, False, goes)


def _counts(said: str) -> tuple[int, int | None]:
    """The least and most of a repeat; None for any number."""
    if said in ("*", "+", "?"):
        return {"*": (0, None), "+": (1, None), "?": (0, 1)}[said]
    least, comma, most = said[1:-1].partition(",")
    low, high = int(least), int(most) if most else None
    if not comma:
        return low, low
    if high is not None and high < low:
        raise NotLinear("min repeat greater than max repeat")
    return low, high


def _repeat(piece: _Steps, least: int, most: int | None) -> _Steps:
    _bounded(piece, max(least, most or 0))
    if most is None and least == 0:
        return (_split(1, len(piece) + 2), *piece, _split(-len(piece) - 1))
    if most is None:
        return (*piece * least, _split(-len(piece), 1))
    return (*piece * least, *(_split(1, len(piece) + 1), *piece) * (most - least))


def _bounded(steps: _Steps, times: int = 1) -> _Steps:
    if max(len(steps), 1) * times > _MOST_STEPS:
        raise NotLinear(f"it comes to more than {_MOST_STEPS} steps")
    return steps
