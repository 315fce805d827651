"""From text to nodes: lines joined, comments dropped, flags and arguments split, heredocs taken.

Knows the shape of each instruction's arguments (words, JSON, key and value, the whole rest) and
no instruction's meaning.
"""

import json
import re
from collections.abc import Callable
from typing import NamedTuple

from lamina.dockerfile import directives, heredoc
from lamina.dockerfile.heredoc import Heredoc
from lamina.errors import DockerfileError

_LINE_LIMIT = 65535  # bytes, BuildKit's scanner
_HEREDOC_COMMANDS = ("ADD", "COPY", "RUN")
_FILE_LIMIT = 16 << 20


class Position(NamedTuple):
    """Where an instruction stands: first and last line, and its text as written."""

    file: str
    first: int
    last: int
    source: str

    def error(self, brief: str, *, hint: str = "", near: str = "") -> DockerfileError:
        """An error here; the caret points at `near`, if that is in the first line."""
        line = self.source.split("\n", 1)[0]
        column = max(line.find(near), 0) if near else 0
        caret = " " * column + "^" * max(len(near) if near and near in line else 1, 1)
        excerpt = f"{self.first:4d} | {line}\n     | {caret}"
        return DockerfileError(
            brief,
            file=self.file,
            line=self.first,
            column=column + 1,
            excerpt=excerpt,
            hint=hint,
        )


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
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
    found = directives.read(lines, filename)
    reader = _Reader(lines, filename, found.escape)
    nodes = tuple(reader.nodes())
    if not nodes:
        raise DockerfileError("file with no instructions", file=filename)
    return Parsed(nodes, found.escape, tuple(reader.warnings))


class _Reader:
    def __init__(self, lines: list[str], filename: str, escape: str) -> None:
        self._lines = lines
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
        text = self._take().strip("\r")
        if not text.strip() or text.lstrip().startswith("#"):
            return None
        text, goes_on = self._cut(text.lstrip())
        empty = False
        while goes_on and self._at < len(self._lines):
            more = self._take()
            if more.lstrip().startswith("#"):
                continue
            if not more.strip():
                empty = empty or self._at < len(self._lines)
                continue
            more, goes_on = self._cut(more)
            text += more
        last = self._at
        if empty and self._anything_follows(first, last):
            self.warnings.append(
                Caveat(first + 1, "NoEmptyContinuation", "Empty continuation line")
            )
        return self._node(text, first, last)

    def _anything_follows(self, first: int, last: int) -> bool:
        body = [line for line in self._lines[first + 1 : last] if line.strip()]
        return bool(body)

    def _take(self) -> str:
        line = self._lines[self._at]
        self._at += 1
        if len(line.encode("utf-8", "surrogatepass")) > _LINE_LIMIT:
            raise DockerfileError(
                f"the line is longer than {_LINE_LIMIT} bytes", file=self._file, line=self._at
            )
        return line

    def _cut(self, line: str) -> tuple[str, bool]:
        """A line without its continuation mark, and whether it had one."""
        match = self._continued.search(line)
        if match is None:
            return line, False
        return line[: match.start()] + match[1], True

    def _node(self, text: str, first: int, last: int) -> Node:
        words = text.strip().split(None, 1)
        name = words[0].upper()
        rest = words[1].strip() if len(words) > 1 else ""
        position = self._position(first, last)
        flags, rest = _flags(rest, self._escape)
        heredocs = self._heredocs(name, rest)
        position = self._position(first, self._at)
        args, is_json = _arguments(name, rest, position, self._escape, self.warnings)
        return Node(name, tuple(flags), tuple(args), rest, is_json, tuple(heredocs), position)

    def _position(self, first: int, last: int) -> Position:
        lines = self._lines[first:last]
        while len(lines) > 1 and not lines[-1].strip():
            lines.pop()
        return Position(self._file, first + 1, first + len(lines), "\n".join(lines).rstrip("\r"))

    def _heredocs(self, name: str, rest: str) -> list[Heredoc]:
        command = name
        if name == "ONBUILD":
            inner = rest.split(None, 1)
            command, rest = (inner[0].upper(), inner[1]) if len(inner) == 2 else ("", "")
        if command not in _HEREDOC_COMMANDS or _json_list(rest) is not None:
            return []
        return [opened._replace(content=self._body(opened)) for opened in heredoc.openings(rest)]

    def _body(self, opened: Heredoc) -> str:
        start = self._at
        lines: list[str] = []
        while self._at < len(self._lines):
            line = self._take()
            ended = line.lstrip("\t") if opened.chomp else line
            if ended.rstrip("\r") == opened.name:
                return "".join(f"{each}\n" for each in lines)
            lines.append(line)
        raise DockerfileError(
            f"unterminated heredoc: {opened.name} is never closed", file=self._file, line=start
        )


def _flags(rest: str, escape: str) -> tuple[list[str], str]:
    """The leading `--flag` words, quotes and escapes processed; and what follows them."""
    flags: list[str] = []
    while rest.startswith("--"):
        word, after = _flag_word(rest, escape)
        rest = after.lstrip()
        if word == "--":
            break
        flags.append(word)
    return flags, rest


def _flag_word(text: str, escape: str) -> tuple[str, str]:
    out, quote = [], ""
    at = 0
    while at < len(text):
        char = text[at]
        if quote:
            if char == quote:
                quote = ""
            elif char == escape and at + 1 < len(text):
                at += 1
                out.append(text[at])
            else:
                out.append(char)
        elif char.isspace():
            break
        elif char in "'\"":
            quote = char
        elif char == escape and at + 1 < len(text):
            at += 1
            out.append(text[at])
        else:
            out.append(char)
        at += 1
    return "".join(out), text[at:]


def _json_list(rest: str) -> list[object] | None:
    if not rest.lstrip().startswith("["):
        return None
    try:
        value = json.loads(rest)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, list) else None


def _arguments(
    name: str, rest: str, position: Position, escape: str, warnings: list[Caveat]
) -> tuple[list[str], bool]:
    """The arguments as the instruction's shape has them, and whether they were JSON."""
    if name in _MAYBE_JSON:
        found = _json_list(rest)
        if found is not None:
            if not all(isinstance(item, str) for item in found):
                raise position.error("only string type is allowed in JSON structure of arrays")
            return [str(item) for item in found], True
        if rest.lstrip().startswith("["):
            warnings.append(
                Caveat(
                    position.first,
                    "JSONArgsRecommended",
                    f"{name}: what begins with [ is no JSON list, so it is run by a shell",
                )
            )
        return _MAYBE_JSON[name](rest), False
    if name in ("ENV", "LABEL"):
        return _pairs(rest, position, escape, name), False
    if name == "ARG":
        return words(rest, escape), False
    if name == "HEALTHCHECK":
        return _healthcheck(rest, position)
    if name == "EXPOSE":
        return rest.split(), False
    if name == "ONBUILD":
        return ([rest] if rest else []), False
    if name == "FROM":
        return rest.split(), False
    return ([rest] if rest else []), False


def _whole(rest: str) -> list[str]:
    return [rest] if rest else []


_MAYBE_JSON: dict[str, Callable[[str], list[str]]] = {
    "ADD": str.split,
    "COPY": str.split,
    "VOLUME": str.split,
    "CMD": _whole,
    "ENTRYPOINT": _whole,
    "RUN": _whole,
    "SHELL": _whole,
}


def _healthcheck(rest: str, position: Position) -> tuple[list[str], bool]:
    parts = rest.split(None, 1)
    if not parts:
        return [], False
    kind = parts[0].upper()
    command = parts[1] if len(parts) > 1 else ""
    found = _json_list(command)
    if found is not None:
        if not all(isinstance(item, str) for item in found):
            raise position.error("only string type is allowed in JSON structure of arrays")
        return [kind, *(str(item) for item in found)], True
    return [kind, command.strip()] if command.strip() else [kind], False


def _pairs(rest: str, position: Position, escape: str, name: str) -> list[str]:
    """`key`, `value`, separator in a row: `=` for the new form, "" for the old one."""
    found = words(rest, escape)
    if not found:
        return []
    if "=" not in found[0]:
        parts = rest.split(None, 1)
        if len(parts) < 2:
            raise position.error(f"{name} must have two arguments")
        return [parts[0], parts[1], ""]
    flat: list[str] = []
    for word in found:
        key, equals, value = word.partition("=")
        if not equals:
            raise position.error(
                f"syntax error: can't find = in {word!r}: it must be of the form name=value",
                near=word,
            )
        flat += [key, value, "="]
    return flat


def words(rest: str, escape: str = "\\") -> list[str]:
    """Words parted by blanks, with quotes and escapes kept as they stand."""
    found: list[str] = []
    current = ""
    quote = ""
    at = 0
    while at < len(rest):
        char = rest[at]
        if quote:
            if char == quote:
                quote = ""
            elif char == escape and quote == '"' and at + 1 < len(rest):
                current += char
                at += 1
                char = rest[at]
        elif char.isspace():
            if current:
                found.append(current)
                current = ""
            at += 1
            continue
        elif char in "'\"":
            quote = char
        elif char == escape and at + 1 < len(rest):
            current += char
            at += 1
            char = rest[at]
        current += char
        at += 1
    if current:
        found.append(current)
    return found


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
