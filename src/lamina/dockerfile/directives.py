"""Parser directives: `# key=value` comments at the very top (escape, syntax, check)."""

import json
import re
from typing import NamedTuple

from lamina.dockerfile.position import Position
from lamina.errors import DockerfileError

_KNOWN = ("syntax", "escape", "check")
_COMMENT = r"#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*"
_HASHES = re.compile(_COMMENT, re.ASCII)
_SLASHES = re.compile(_COMMENT.replace("#", "//"), re.ASCII)


class Directive(NamedTuple):
    """One directive: its key in lower case, its whole value, and its line (0: none)."""

    key: str
    text: str
    line: int

    @property
    def value(self) -> str:
        """The first word, which is all that counts of `syntax` and `check`."""
        return self.text.split(" ", 1)[0]


class Directives(NamedTuple):
    """What the directives say; `escape` is a backslash or a backtick."""

    escape: str
    syntax: str
    check: str


def read(lines: list[str], filename: str) -> Directives:
    """The directives of a file; the first line that is none ends the hunt.

    Raises `DockerfileError` for one that comes twice or an impossible escape. Behind a `#!` line
    only `syntax` and `check` are looked for.
    """
    has_shebang = lines[0].startswith("#!")
    found: dict[str, Directive] = {}
    for each in _consecutive(lines[has_shebang:], _HASHES, 1 + has_shebang):
        if each.key in found:
            message = f"only one {each.key} parser directive can be used"
            raise _error(message, each, lines, filename)
        found[each.key] = each
    escape = found.get("escape")
    if escape is None or has_shebang:
        token = "\\"
    elif escape.text in ("\\", "`"):
        token = escape.text
    else:
        message = f"invalid escape token {escape.text!r}: it is \\ or `"
        raise _error(message, escape, lines, filename)
    values = {key: each.value for key, each in found.items()}
    return Directives(token, values.get("syntax", ""), values.get("check", ""))


def find(key: str, text: str) -> Directive | None:
    """One directive of a text that need not be a Dockerfile.

    `syntax` is also found as `//syntax=` and as that member of a JSON object (DetectSyntax).
    """
    lines = text.removeprefix("\ufeff").split("\n")
    skipped = lines[0].startswith("#!")
    expressions = (_HASHES, _SLASHES) if key == "syntax" else (_HASHES,)
    for expression in expressions:
        for each in _consecutive(lines[skipped:], expression, 1 + skipped):
            if each.key == key:
                return each
    return _member(key, "\n".join(lines[skipped:])) if key == "syntax" else None


def _consecutive(lines: list[str], expression: re.Pattern[str], first: int) -> list[Directive]:
    found = []
    for number, line in enumerate(lines, first):
        match = expression.fullmatch(line.strip())
        if match is None or match[1].lower() not in _KNOWN:
            break
        found.append(Directive(match[1].lower(), match[2], number))
    return found


def _member(key: str, text: str) -> Directive | None:
    try:
        document = json.loads(text) if text.lstrip().startswith("{") else None
    except (ValueError, RecursionError):
        return None
    value = document.get(key) if isinstance(document, dict) else None
    return Directive(key, value, 0) if isinstance(value, str) else None


def _error(message: str, each: Directive, lines: list[str], filename: str) -> DockerfileError:
    source = lines[each.line - 1].rstrip("\r")
    place = Position(filename, each.line, each.line, source, tuple(lines))
    return place.error(message, near=each.text)
