"""Go's path/filepath.Match: `*`, `?`, `[a-z]`, `[^a]`, `\\`; none of them crosses a slash.

A pattern becomes tokens, and tokens become a regular expression that never backtracks over more
than one star of a path component. Ignore files share both and add `**`.
"""

import re
from collections.abc import Iterator
from functools import lru_cache

from lamina.errors import DockerfileError

STAR, STARS, SLASH = "*", "**", "/"  # tokens; any other is a regular expression of one character
_NOTHING = "(?!)"


def has_magic(pattern: str) -> bool:
    """Whether a pattern is more than a plain name."""
    return any(char in pattern for char in "*?[\\")


def match(pattern: str, name: str) -> bool:
    """Whether the whole of `name` fits; raises `DockerfileError` for a malformed pattern."""
    return _compiled(pattern).fullmatch(name) is not None


@lru_cache(maxsize=64)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(expression(list(tokens(pattern))), re.DOTALL)


def tokens(pattern: str, *, for_ignore: bool = False) -> Iterator[str]:
    """The pattern piece by piece; raises `DockerfileError` for a malformed one.

    For an ignore file `**` is a token of its own, which takes a slash behind it along, and a
    range whose ends are reversed is malformed instead of matching nothing.
    """
    at = 0
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if char == "*" and for_ignore and pattern.startswith("*", at):
            at += 2 if pattern.startswith("/", at + 1) else 1
            yield STARS
        elif char in (STAR, SLASH):
            yield char
        elif char == "?":
            yield "[^/]"
        elif char == "[":
            piece, at = _bracket(pattern, at, reversed_fails=for_ignore)
            yield piece
        elif char == "\\":
            if at >= len(pattern):
                raise _malformed(pattern)
            yield re.escape(pattern[at])
            at += 1
        else:
            yield re.escape(char)


def expression(pieces: list[str]) -> str:
    """Tokens without `**` as a regular expression."""
    out: list[str] = []
    start = 0
    for at, piece in enumerate((*pieces, SLASH)):
        if piece == SLASH:
            out.append(_component(pieces[start:at]))
            start = at + 1
    return SLASH.join(out)


def _component(pieces: list[str]) -> str:
    """One path component. Between two stars the leftmost fit is as good as any: it is kept."""
    chunks = [""]
    for piece in pieces:
        if piece == STAR:
            chunks.append("")
        else:
            chunks[-1] += piece
    if len(chunks) == 1:
        return chunks[0]
    between = "".join(f"(?>[^/]*?{chunk})" for chunk in chunks[1:-1] if chunk)
    return f"{chunks[0]}{between}[^/]*{chunks[-1]}"


def _bracket(pattern: str, at: int, *, reversed_fails: bool) -> tuple[str, int]:
    """The class that begins behind a `[`, and where what follows it begins."""
    negated = pattern.startswith("^", at)
    at += negated
    ranges: list[str] = []
    first = at
    while at == first or not pattern.startswith("]", at):
        low, at = _class_char(pattern, at)
        high = low
        if pattern.startswith("-", at):
            high, at = _class_char(pattern, at + 1)
        if low <= high:
            ranges.append(f"{re.escape(low)}-{re.escape(high)}")
        elif reversed_fails:
            raise _malformed(pattern)
    inner = "".join(ranges)
    if not inner:
        return ("[^/]" if negated else _NOTHING), at + 1
    return f"(?!/)[{'^' if negated else ''}{inner}]", at + 1


def _class_char(pattern: str, at: int) -> tuple[str, int]:
    char = pattern[at : at + 1]
    if char in ("", "-", "]"):
        raise _malformed(pattern)
    if char == "\\":
        at += 1
        char = pattern[at : at + 1]
    # Something, if only the bracket that closes, has to follow.
    if not char or at + 1 >= len(pattern):
        raise _malformed(pattern)
    return char, at + 1


def _malformed(pattern: str) -> DockerfileError:
    return DockerfileError(
        f"syntax error in pattern {pattern[:200]!r}", hint="a class looks like [a-z] or [^0-9]"
    )
