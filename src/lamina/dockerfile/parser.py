"""From text to nodes: lines joined, comments dropped, flags and arguments split, heredocs taken.

Knows the shape of each instruction's arguments (words, JSON, key and value, the whole rest) and
no instruction's meaning.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

from lamina.dockerfile import directives, heredoc
from lamina.dockerfile.heredoc import Heredoc
from lamina.dockerfile.position import Position
from lamina.dockerfile.words import flags, halved, json_list, like_json, parted, strings, words
from lamina.errors import DockerfileError

_LINE_LIMIT = 65535  # bytes, BuildKit's scanner
_HEREDOC_COMMANDS = ("ADD", "COPY", "RUN")
_FILE_LIMIT = 16 << 20


class Caveat(NamedTuple):
    """Something that works and is probably not meant."""

    line: int
    rule: str
    text: str


class Node(NamedTuple):
    """One instruction: its name in capitals, its flags, its arguments, its here-documents.

    `is_json` says that the arguments were a JSON list; `rest` is the text after the flags.
    """

    name: str
    flags: tuple[str, ...]
    args: tuple[str, ...]
    rest: str
    is_json: bool
    heredocs: tuple[Heredoc, ...]
    position: Position


class Parsed(NamedTuple):
    """The nodes of a file and what goes with them."""

    nodes: tuple[Node, ...]
    escape: str
    warnings: tuple[Caveat, ...]


def parse_nodes(text: str, filename: str = "Dockerfile") -> Parsed:
    """Split a Dockerfile into nodes; raises `DockerfileError`."""
    if len(text) > _FILE_LIMIT:
        raise DockerfileError("the file is larger than 16 MiB", file=filename)
    lines = text.removeprefix("\ufeff").removesuffix("\n").split("\n")
    found = directives.read(lines, filename)
    reader = _Reader(lines, filename, found.escape)
    nodes = tuple(reader.nodes())
    if not nodes:
        raise DockerfileError("file with no instructions", file=filename, hint="begin with FROM")
    return Parsed(nodes, found.escape, tuple(reader.warnings))


class _Reader:
    def __init__(self, lines: list[str], filename: str, escape: str) -> None:
        self._lines = lines
        self._whole = tuple(lines)
        self._at = 0
        self._file = filename
        self._escape = escape
        mark = re.escape(escape)
        # The mark, not itself escaped, with nothing but blanks after it.
        self._continued = re.compile(rf"(^|[^{mark}]){mark}[ \t]*$")
        self.warnings: list[Caveat] = []

    def nodes(self) -> "list[Node]":
        found = []
        while self._at < len(self._lines):
            node = self._next()
            if node is not None:
                found.append(node)
        return found

    def _next(self) -> Node | None:
        first = self._at
        text = self._take().rstrip("\r").lstrip()
        if not text or text.startswith("#"):
            return None
        text, goes_on = self._cut(text)
        parts, has_gap = [text], False
        while goes_on and self._at < len(self._lines):
            more = self._take().rstrip("\r")
            if more.lstrip().startswith("#"):
                continue
            if not more.strip():
                has_gap = True
                continue
            more, goes_on = self._cut(more)
            parts.append(more)
        if has_gap:
            self._warn(self._at, "NoEmptyContinuation", "Empty continuation line")
        return self._node("".join(parts), first)

    def _take(self) -> str:
        line = self._lines[self._at]
        self._at += 1
        # Only a line that could be too long is counted in bytes (at most four a character).
        if len(line) * 4 > _LINE_LIMIT and len(line.encode("utf-8", "replace")) > _LINE_LIMIT:
            raise self._position(self._at - 1).error(f"the line is longer than {_LINE_LIMIT} bytes")
        return line

    def _cut(self, line: str) -> tuple[str, bool]:
        """A line without its continuation mark, and whether it had one."""
        match = self._continued.search(line)
        if match is None:
            return line, False
        return line[: match.start()] + match[1], True

    def _warn(self, line: int, rule: str, text: str) -> None:
        self.warnings.append(Caveat(line, rule, text))

    def _node(self, text: str, first: int) -> Node:
        name, rest = halved(text)
        name = name.upper()
        if not name:
            raise self._position(first).error(
                "there is nothing before or after the continuation mark"
            )
        found, rest = flags(rest, self._escape)
        heredocs = tuple(self._heredocs(name, rest, first))
        bodies = heredocs if name == "RUN" else ()
        joined = "".join((text, *(f" ({heredoc.summary(each.content)})" for each in bodies)))
        position = self._position(first)._replace(joined=joined)
        args, is_json = _arguments(name, rest, position, self._escape)
        if not is_json and name in _MAYBE_JSON and like_json(rest):
            what = "looks like JSON and is none: it is taken as plain text"
            self._warn(position.first, "JSONArgsRecommended", f"{name}: {rest[:60]} {what}")
        return Node(name, tuple(found), tuple(args), rest, is_json, heredocs, position)

    def _position(self, first: int) -> Position:
        """From that line to the last one read, blank ones at the end cut."""
        last = self._at
        while last > first + 1 and not self._lines[last - 1].strip():
            last -= 1
        source = "\n".join(line.rstrip("\r") for line in self._lines[first:last])
        return Position(self._file, first + 1, last, source, self._whole)

    def _heredocs(self, name: str, rest: str, first: int) -> list[Heredoc]:
        if name == "ONBUILD":
            name, rest = halved(rest)
        if "<<" not in rest or name.upper() not in _HEREDOC_COMMANDS or json_list(rest) is not None:
            return []
        opened = heredoc.openings(rest)
        end = self._at  # of the line that opens them
        return [each._replace(content=self._body(each, first, end)) for each in opened]

    def _body(self, opened: Heredoc, first: int, end: int) -> str:
        lines: list[str] = []
        while self._at < len(self._lines):
            line = self._take()
            ended = line.lstrip("\t") if opened.chomp else line
            if ended.rstrip("\r") == opened.name:
                return "".join(f"{each}\n" for each in lines)
            lines.append(line)
        self._at = end
        raise self._position(first).error(
            f"unterminated heredoc: {opened.name} is never closed",
            hint=f"end it with a line that is only {opened.name}",
            near="<<",
        )


def _arguments(name: str, rest: str, position: Position, escape: str) -> tuple[list[str], bool]:
    """The arguments as the instruction's shape has them, and whether they were JSON."""
    if name in _MAYBE_JSON:
        found = _json_arguments(rest, position)
        return (_MAYBE_JSON[name](rest), False) if found is None else (found, True)
    if name in ("ENV", "LABEL"):
        return _pairs(rest, position, escape, name), False
    if name == "ARG":
        return words(rest, escape), False
    if name == "HEALTHCHECK":
        return _healthcheck(rest, position)
    if name in ("EXPOSE", "FROM"):
        return parted(rest), False
    return _whole(rest), False


def _json_arguments(rest: str, position: Position) -> list[str] | None:
    values = json_list(rest)
    if values is None:
        return None
    found = strings(values)
    if found is None:
        raise position.error("only string type is allowed in JSON structure of arrays", near="[")
    return found


def _whole(rest: str) -> list[str]:
    return [rest] if rest else []


_MAYBE_JSON: dict[str, Callable[[str], list[str]]] = {
    "ADD": parted,
    "COPY": parted,
    "VOLUME": parted,
    "CMD": _whole,
    "ENTRYPOINT": _whole,
    "RUN": _whole,
    "SHELL": _whole,
}


def _healthcheck(rest: str, position: Position) -> tuple[list[str], bool]:
    kind, command = halved(rest)
    if not kind:
        return [], False
    found = _json_arguments(command, position)
    if found is not None:
        return [kind.upper(), *found], True
    return [kind.upper(), *_whole(command)], False


def _pairs(rest: str, position: Position, escape: str, name: str) -> list[str]:
    """`key`, `value`, separator in a row: `=` for the new form, "" for the old one."""
    found = words(rest, escape)
    if not found:
        return []
    if "=" not in found[0]:
        key, value = halved(rest)
        if not value:
            raise position.error(f"{name} must have two arguments", hint="write it as name=value")
        return [key, value, ""]
    flat: list[str] = []
    for word in found:
        key, equals, value = word.partition("=")
        if not equals:
            raise position.error(
                f"syntax error: can't find = in {word!r}: it must be of the form name=value",
                near=word,
            )
        flat += (key, value, "=")
    return flat


def dump(node: Node) -> str:
    """The node as one line of an S-expression, as BuildKit's parser tests write it."""
    parts = [node.name.lower()]
    if node.flags:
        parts.append("[" + " ".join(_quoted(flag) for flag in node.flags) + "]")
    if node.name == "ONBUILD" and node.args:
        inner = parse_nodes(node.args[0], node.position.file).nodes[0]
        parts.append(dump(inner))
    else:
        parts += [_quoted(arg) for arg in node.args]
    return "(" + " ".join(parts) + ")"


_ESCAPES = {
    "\\": "\\\\",
    '"': '\\"',
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
}


def _quoted(text: str) -> str:
    """A string as Go's %q writes it."""
    out = (_ESCAPES.get(char) or (char if char >= " " else f"\\x{ord(char):02x}") for char in text)
    return '"' + "".join(out) + '"'
