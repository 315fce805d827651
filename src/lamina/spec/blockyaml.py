"""The part of YAML that registries.d is written in: mappings by indentation, of texts. Pure.

No lists, anchors, tags, flows or texts of several lines: what is not understood is refused, never
guessed at. A document that begins with `{` is JSON, which is YAML, too.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

from lamina.errors import BadDocument
from lamina.spec import strictjson
from lamina.spec.strictjson import Json

Tree: TypeAlias = dict[str, "str | Tree | None"]

_LINES = 10_000
_DEPTH = 8
_QUOTED = r"""'(?:[^']|'')*'|"(?:[^"\\]|\\["\\/])*\""""
_PLAIN = r"""[^\s\-?:,\[\]{}#&*!|>'"%@`](?:[^#:]|:(?=\S)|(?<=\S)\#)*?"""
_PAIR = re.compile(rf"({_QUOTED}|{_PLAIN})\s*:(?:\s+({_QUOTED}|{_PLAIN}))?(?:\s+#.*|\s*)")
_BLANK = re.compile(r"\s*(?:#.*)?")
_NOTHING = frozenset(("~", "null", "Null", "NULL"))


class _Line(NamedTuple):
    number: int
    indent: int
    key: str
    value: str | None


def parse(raw: bytes, what: str) -> Tree:
    """The mapping in a document, empty for an empty one; raises `BadDocument` with the line."""
    if len(raw) > strictjson.LIMIT:
        raise BadDocument(f"{what} has over {strictjson.LIMIT} bytes")
    if raw.lstrip()[:1] == b"{":
        return {key: _of_json(each) for key, each in strictjson.parse(raw, what).items()}
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadDocument(f"{what} is not UTF-8") from None
    return _tree(list(_lines(text, what)), what)


def _of_json(value: Json) -> "str | Tree | None":
    if isinstance(value, dict):
        return {key: _of_json(each) for key, each in value.items()}
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str | None) else str(value)


def _lines(text: str, what: str) -> Iterator[_Line]:
    lines = text.splitlines()
    if len(lines) > _LINES:
        raise BadDocument(f"{what} has over {_LINES} lines")
    for number, line in enumerate(lines, 1):
        if _BLANK.fullmatch(line) or (line.rstrip() == "---" and number == 1):
            continue
        content = line.lstrip(" ")
        found = _PAIR.fullmatch(content)
        if found is None:
            raise _wrong(what, number, "is not a KEY: VALUE that is understood here")
        value = None if found[2] in _NOTHING or found[2] is None else _text(found[2])
        yield _Line(number, len(line) - len(content), _text(found[1]), value)


def _text(written: str) -> str:
    if written.startswith("'"):
        return written[1:-1].replace("''", "'")
    if written.startswith('"'):
        return re.sub(r"\\(.)", r"\1", written[1:-1])
    return written.rstrip()


def _tree(lines: list[_Line], what: str) -> Tree:
    """The mapping of all lines: what is further in belongs to the key before it."""
    top: Tree = {}
    open_at: list[tuple[int, Tree]] = []
    before: tuple[_Line, Tree] | None = None
    for line in lines:
        if before is None:
            open_at.append((line.indent, top))
        elif line.indent > before[0].indent:
            open_at.append((line.indent, _opened(*before, what)))
        while open_at[-1][0] > line.indent:
            open_at.pop()
            if not open_at:
                break
        if not open_at or open_at[-1][0] != line.indent or len(open_at) > _DEPTH:
            raise _wrong(what, line.number, "is indented as nothing above it is")
        place = open_at[-1][1]
        if line.key in place:
            raise _wrong(what, line.number, f"says {line.key[:80]!r} once more")
        place[line.key] = line.value
        before = line, place
    return top


def _opened(line: _Line, place: Tree, what: str) -> Tree:
    if line.value is not None:
        raise _wrong(what, line.number + 1, "goes on with a text, which is not understood here")
    inner: Tree = {}
    place[line.key] = inner
    return inner


def _wrong(what: str, number: int, reason: str) -> BadDocument:
    return BadDocument(f"{what}: line {number} {reason}")
