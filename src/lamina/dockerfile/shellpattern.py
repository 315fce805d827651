"""Patterns of `${v#p}`, `${v%p}` and `${v/p/r}`: `*`, `?` and backslash escapes, no classes."""

import re

from lamina.errors import DockerfileError

_PIECE = re.compile(r"\\?.|\\", re.DOTALL)


def translate(pattern: str, *, greedy: bool) -> str:
    """The pattern as a regular expression; raises `DockerfileError` for an unknown escape."""
    star = ".*" if greedy else ".*?"
    return "".join(_translated(piece, star, pattern) for piece in _PIECE.findall(pattern))


def _translated(piece: str, star: str, pattern: str) -> str:
    if piece == "*":
        return star
    if piece == "?":
        return "."
    if piece[0] != "\\":
        return re.escape(piece)
    if piece[1:] not in ("*", "?", "\\", "}", "/"):
        raise DockerfileError(f"invalid escape {piece!r} in the pattern {pattern!r}")
    return re.escape(piece[1:])


def without_prefix(value: str, pattern: str, *, longest: bool) -> str:
    """`${value#pattern}`, or with `longest` `##`."""
    match = re.match(translate(pattern, greedy=longest), value, re.DOTALL)
    return value[match.end() :] if match else value


def without_suffix(value: str, pattern: str, *, longest: bool) -> str:
    """`${value%pattern}`, or with `longest` `%%`: the prefix of what is written backwards."""
    backwards = "".join(reversed(_PIECE.findall(pattern)))
    return without_prefix(value[::-1], backwards, longest=longest)[::-1]


def replaced(value: str, pattern: str, replacement: str, *, everywhere: bool) -> str:
    """`${value/pattern/replacement}`, or `//`: the longest match, the replacement as it stands."""
    expression = re.compile(translate(pattern, greedy=True), re.DOTALL)
    out: list[str] = []
    end = 0
    for match in expression.finditer(value):
        if out and not match.group() and match.start() == end:
            continue  # nothing, right behind what was replaced: no match of its own in Go
        out += (value[end : match.start()], replacement)
        end = match.end()
        if not everywhere:
            break
    return "".join(out) + value[end:]
