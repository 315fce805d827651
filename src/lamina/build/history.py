"""What each instruction leaves in an image's history, in BuildKit's words.

`docker history` and the scanners that read it know these texts. Pure.
"""

from collections.abc import Iterable

_MARK = " # buildkit"


def run(arguments: Iterable[tuple[str, str]], argv: Iterable[str]) -> str:
    """`RUN |2 A=1 B=2 /bin/sh -c cmd # buildkit`: the ARGs in scope, then the command."""
    given = [f"{key}={value}" for key, value in arguments]
    prefix = [f"|{len(given)}", *given] if given else []
    return "RUN " + " ".join([*prefix, *argv]) + _MARK


def copy(text: str) -> str:
    """`COPY --chown=1:2 a b # buildkit`."""
    return text + _MARK


def quoted(items: Iterable[str]) -> str:
    """A list as Go prints it: `["x" "y"]`."""
    return "[" + " ".join(_quote(item) for item in items) + "]"


def bare(items: Iterable[str]) -> str:
    """A list as Go prints it without quotes: `[53/udp 80/tcp]`."""
    return "[" + " ".join(items) + "]"


_ESCAPES = {
    "\\": "\\\\",
    '"': '\\"',
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
}


def _quote(text: str) -> str:
    """Go's %q, for what occurs in commands."""
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    return character if character.isprintable() else f"\\x{ord(character):02x}"
