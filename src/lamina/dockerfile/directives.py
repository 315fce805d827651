"""Parser directives: `# key=value` comments at the very top (escape, syntax, check)."""

import re
from typing import NamedTuple

from lamina.errors import DockerfileError

_DIRECTIVE = re.compile(r"#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*")
_KNOWN = ("syntax", "escape", "check")


class Directives(NamedTuple):
    """What the directives say; `escape` is a backslash or a backtick."""

    escape: str
    syntax: str
    check: str


def read(lines: list[str], filename: str) -> Directives:
    """The directives of a file; the first line that is none ends the hunt.

    Raises `DockerfileError` for one that comes twice or an impossible escape.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if number == 1 and line.startswith("#!"):
            continue
        match = _DIRECTIVE.fullmatch(line.strip())
        if match is None or match[1].lower() not in _KNOWN:
            break
        key = match[1].lower()
        if key in found:
            raise DockerfileError(
                f"only one {key} parser directive can be used", file=filename, line=number
            )
        found[key] = match[2]
    escape = found.get("escape", "\\")
    if escape not in ("\\", "`"):
        raise DockerfileError(
            f"invalid escape token {escape!r}: it is \\ or `", file=filename, line=1
        )
    return Directives(escape, found.get("syntax", "").split(" ")[0], found.get("check", ""))
