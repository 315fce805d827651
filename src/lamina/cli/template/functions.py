"""What templates can call: docker's functions (docker/cli, templates) and Go's own.

Plain functions of plain values; what they raise is worded by the evaluator.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Self, TypeGuard
from urllib.parse import quote_plus

_VERB = re.compile(r"%([-+# 0]*)(\d*)(?:\.(\d+))?(.)", re.DOTALL)
_WIDEST = 1 << 16  # characters that a verb's width may ask for


class FreeMap(dict[str, object]):
    """A map whose keys are anybody's: one that is not there has no value, and is no error."""

    is_nil = False

    @classmethod
    def of(cls, value: object) -> Self:
        """The map as it is; None is the map that was never made (`null` in JSON)."""
        made = cls(value) if isinstance(value, Mapping) else cls()
        made.is_nil = value is None
        return made


def truth(value: object) -> bool:
    """Go's idea of a non-empty value."""
    return bool(value)


def shown(value: object, nothing: str = "<no value>") -> str:
    """A value as Go prints it; `nothing` stands for what has no value."""
    if value is None:
        return nothing
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        pairs = (f"{key}:{_inside(value, value[key])}" for key in sorted(value))
        return f"map[{' '.join(pairs)}]"
    if isinstance(value, list | tuple):
        return "[" + " ".join(shown(item, "<nil>") for item in value) + "]"
    if isinstance(value, float):
        return _float(value)
    return str(value)


def _inside(outer: Mapping[str, object], value: object) -> str:
    """An empty value of a map (a port, a volume) is docker's empty struct."""
    return "{}" if value == {} and isinstance(outer, FreeMap) else shown(value, "<nil>")


def _float(value: float) -> str:
    if value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    return re.sub(r"e([+-])(\d)$", r"e\g<1>0\2", repr(value))


def _json(value: object) -> str:
    """Compact, as Go's encoder without the escaping of HTML."""
    return json.dumps(_plain(value), separators=(",", ":"), ensure_ascii=False)


def _plain(value: object) -> object:
    if isinstance(value, FreeMap) and value.is_nil:
        return None
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items() if not callable(item)}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _text(value: object) -> str:
    """A text that a function of texts is given; raises TypeError for anything else."""
    if not isinstance(value, str):
        raise TypeError(f"wrong type for value; expected string; got {_kind(value)}")
    return value


def _kind(value: object) -> str:
    kinds = {bool: "bool", int: "int", float: "float64", str: "string", type(None): "nil"}
    return kinds.get(type(value), "map" if isinstance(value, Mapping) else "list")


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"wrong type for value; expected int; got {_kind(value)}")
    return value


def _index(value: object, *keys: object) -> object:
    for key in keys:
        if isinstance(value, FreeMap) and not isinstance(key, str):
            raise TypeError(f"a map's key is a string, not {shown(key)}")
        if isinstance(value, Mapping):
            value = value.get(_text(key), "" if isinstance(value, FreeMap) else None)
        elif isinstance(value, list | tuple):
            number = _whole(key)
            if not 0 <= number < len(value):
                raise IndexError(f"index out of range: {number}")
            value = value[number]
        elif value is None:
            raise TypeError("index of untyped nil")
        else:
            raise TypeError(f"can't index item of type {_kind(value)}")
    return value


def _slice(value: object, *bounds: object) -> object:
    if not isinstance(value, str | list | tuple):
        raise TypeError(f"can't slice item of type {_kind(value)}")
    numbers = [_whole(bound) for bound in bounds[:2]]
    low, high = [*numbers, *(0, len(value))[len(numbers) :]]
    if len(bounds) > 2 or not 0 <= low <= high <= len(value):
        raise IndexError(f"index out of range: {bounds[-1]}")
    return value[low:high]


def _length(value: object) -> int:
    if isinstance(value, str):
        return len(value.encode("utf-8", "surrogateescape"))
    if isinstance(value, list | tuple | Mapping):
        return len(value)
    raise TypeError(f"len of {'nil pointer' if value is None else 'type ' + _kind(value)}")


def _join(values: object, separator: object) -> str:
    if values is None:
        return ""
    if not isinstance(values, list | tuple):
        raise TypeError(f"wrong type for value; expected a list; got {_kind(values)}")
    return _text(separator).join(shown(value) for value in values)


def _split(text: object, separator: object) -> list[str]:
    given = _text(separator)
    return _text(text).split(given) if given else list(_text(text))


def _title(text: object) -> str:
    """The first letter of every word in upper case, the others as they are."""
    return re.sub(r"(?<![\w'])\w", lambda found: found[0].title(), _text(text))


def _truncate(text: object, length: object) -> str:
    return _text(text)[: max(0, _whole(length))]


def _pad(text: object, before: object, after: object) -> str:
    return " " * _whole(before) + _text(text) + " " * _whole(after) if text else ""


def _compared(first: object, second: object) -> int:
    """-1, 0 or 1; only what is of one kind can be compared."""
    if _kind(first) == _kind(second):
        if isinstance(first, str) and isinstance(second, str):
            return (first > second) - (first < second)
        if _is_number(first) and _is_number(second):
            return (first > second) - (first < second)
    raise TypeError("incompatible types for comparison")


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _equal(first: object, *others: object) -> bool:
    if not others:
        raise TypeError("missing argument for comparison")
    return any(_is_equal(first, other) for other in others)


def _is_equal(first: object, second: object) -> bool:
    kinds = {_kind(first), _kind(second)}
    if kinds & {"map", "list"} or (len(kinds) > 1 and "nil" not in kinds):
        raise TypeError("incompatible types for comparison")
    return first == second


def _and(values: Iterator[object]) -> object:
    return _first(values, lambda value: not truth(value))


def _or(values: Iterator[object]) -> object:
    return _first(values, truth)


def _first(values: Iterator[object], fits: Callable[[object], bool]) -> object:
    """The first that fits, else the last; what is after it is not even evaluated."""
    value, found = None, False
    for value in values:
        found = True
        if fits(value):
            break
    if not found:
        raise TypeError("wrong number of arguments")
    return value


def _print(*values: object) -> str:
    """Blanks stand between two values of which neither is a text."""
    text = ""
    for number, value in enumerate(values):
        if number and not isinstance(value, str) and not isinstance(values[number - 1], str):
            text += " "
        text += shown(value, "<nil>")
    return text


def _println(*values: object) -> str:
    return " ".join(shown(value, "<nil>") for value in values) + "\n"


def _printf(form: object, *values: object) -> str:
    waiting = list(values)

    def fill(found: re.Match[str]) -> str:
        flags, width, precision, verb = found.groups()
        if verb == "%":
            return "%"
        if not waiting:
            return f"%!{verb}(MISSING)"
        value = waiting.pop(0)
        body = _formatted(verb, value, flags, precision)
        room = min(int(width or 0), _WIDEST)
        if "-" in flags:
            return body.ljust(room)
        zeros = "0" in flags and verb in "dxXob" and not body.startswith("%!")
        return body.zfill(room) if zeros else body.rjust(room)

    text = _VERB.sub(fill, _text(form))
    if waiting:
        extra = ", ".join(f"{_kind(value)}={shown(value, '<nil>')}" for value in waiting)
        text += f"%!(EXTRA {extra})"
    return text


def _formatted(verb: str, value: object, flags: str, precision: str | None) -> str:
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if verb == "v" or (verb == "s" and not (is_whole or isinstance(value, bool | float))):
        return shown(value, "<nil>")[: int(precision) if precision and verb == "s" else None]
    if verb == "q" and isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if verb == "t" and isinstance(value, bool):
        return shown(value)
    if verb == "T":
        return _kind(value)
    if verb in "dxXob" and is_whole:
        return format(value, ("+" if "+" in flags else "") + verb)
    if verb in "xX" and isinstance(value, str):
        return value.encode("utf-8", "surrogateescape").hex()
    if verb in "feEgG" and isinstance(value, float):
        return format(value, f".{min(int(precision or 6), _WIDEST)}{verb}")
    return f"%!{verb}({_kind(value)}={shown(value, '<nil>')})"


LAZY = frozenset(("and", "or"))
FUNCTIONS: dict[str, Callable[..., object]] = {
    "json": _json,
    "join": _join,
    "split": _split,
    "upper": lambda text: _text(text).upper(),
    "lower": lambda text: _text(text).lower(),
    "title": _title,
    "truncate": _truncate,
    "pad": _pad,
    "println": _println,
    "print": _print,
    "printf": _printf,
    "index": _index,
    "slice": _slice,
    "len": _length,
    "urlquery": lambda *values: quote_plus(_print(*values)),
    "and": _and,
    "or": _or,
    "not": lambda value: not truth(value),
    "eq": _equal,
    "ne": lambda first, second: not _is_equal(first, second),
    "lt": lambda first, second: _compared(first, second) < 0,
    "le": lambda first, second: _compared(first, second) <= 0,
    "gt": lambda first, second: _compared(first, second) > 0,
    "ge": lambda first, second: _compared(first, second) >= 0,
}
