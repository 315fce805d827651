"""Go's path/filepath.Match: `*`, `?`, `[a-z]`, `[^a]`, `\\`; none of them crosses a slash."""

import re

from lamina.errors import DockerfileError


def has_magic(pattern: str) -> bool:
    """Whether a pattern is more than a plain name."""
    return any(char in pattern for char in "*?[\\")


def match(pattern: str, name: str) -> bool:
    """Whether the whole of `name` fits; raises `DockerfileError` for a malformed pattern."""
    return re.fullmatch(translate(pattern), name, re.DOTALL) is not None


def translate(pattern: str) -> str:
    """The pattern as a regular expression."""
    out: list[str] = []
    at = 0
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if char == "*":
            out.append("[^/]*")
        elif char == "?":
            out.append("[^/]")
        elif char == "\\":
            if at >= len(pattern):
                raise _malformed(pattern)
            out.append(re.escape(pattern[at]))
            at += 1
        elif char == "[":
            piece, at = bracket(pattern, at)
            out.append(piece)
        else:
            out.append(re.escape(char))
    return "".join(out)


def bracket(pattern: str, at: int) -> tuple[str, int]:
    """The class that begins behind a `[`, and where it ends."""
    negated = pattern[at : at + 1] == "^"
    at += negated
    pieces: list[str] = []
    while True:
        if pattern[at : at + 1] == "]" and pieces:
            break
        low, at = _class_char(pattern, at)
        high = low
        if pattern[at : at + 1] == "-":
            high, at = _class_char(pattern, at + 1)
        if low > high:
            pieces.append("")
            continue
        pieces.append(f"{re.escape(low)}-{re.escape(high)}" if high != low else re.escape(low))
    inner = "".join(pieces)
    if not inner:
        return ("[^/]" if negated else "(?!)"), at + 1
    return (f"(?!/)[^{inner}]" if negated else f"(?!/)[{inner}]"), at + 1


def _class_char(pattern: str, at: int) -> tuple[str, int]:
    char = pattern[at : at + 1]
    if char in ("", "-", "]"):
        raise _malformed(pattern)
    if char == "\\":
        at += 1
        char = pattern[at : at + 1]
        if not char:
            raise _malformed(pattern)
    at += 1
    if at >= len(pattern):
        raise _malformed(pattern)
    return char, at


def _malformed(pattern: str) -> DockerfileError:
    return DockerfileError(f"syntax error in pattern {pattern!r}")
