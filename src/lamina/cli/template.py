"""The subset of Go's text/template that people use with `--format`.

Fields and chains, pipelines, `if`/`else if`/`else`, `range` with `else`, `with`, variables,
comments, trimming, and docker's functions: json, join, split, upper, lower, title, index, len,
println, print, printf, eq ne lt le gt ge, and or not, truncate, pad, slice. Pure.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, TypeAlias

from lamina.errors import TemplateError

Node: TypeAlias = "Text | Show | Block | Assign"
Scope = dict[str, object]

_ACTION = re.compile(r"\{\{(-\s)?(.*?)(\s-)?\}\}", re.DOTALL)
_TOKEN = re.compile(
    r"""\s*(?:(?P<string>"(?:[^"\\]|\\.)*"|`[^`]*`|'(?:[^'\\]|\\.)')
      |(?P<number>-?\d+(?:\.\d+)?)
      |(?P<field>(?:\.[A-Za-z_][\w]*)+)
      |(?P<variable>\$[\w]*(?:\.[A-Za-z_]\w*)*)
      |(?P<dot>\.)
      |(?P<mark>:=|=|\||\(|\)|,)
      |(?P<word>[A-Za-z_]\w*))""",
    re.VERBOSE | re.ASCII,
)


class Text(NamedTuple):
    """Text that stands for itself."""

    text: str


class Show(NamedTuple):
    """A pipeline whose value is printed."""

    pipeline: "Pipeline"


class Assign(NamedTuple):
    """`$name := pipeline`."""

    name: str
    pipeline: "Pipeline"


class Block(NamedTuple):
    """`if`, `range` or `with`; `names` are a range's variables."""

    kind: str
    names: tuple[str, ...]
    pipeline: "Pipeline"
    body: "list[Node]"
    otherwise: "list[Node]"


class Pipeline(NamedTuple):
    """Commands, each one's value handed to the next as its last argument."""

    commands: tuple[tuple[object, ...], ...]


class Path(NamedTuple):
    """A chain of fields from the dot or from a variable (empty: the dot)."""

    variable: str
    fields: tuple[str, ...]


class Name(NamedTuple):
    """A function's name, or a constant's."""

    name: str


class Literal(NamedTuple):
    """A string or a number."""

    value: object


def compile_template(text: str) -> Callable[[object], str]:
    """The template as a function of its data; raises `TemplateError`, also when it is run."""
    nodes = _Parser(text).parse()

    def render(data: object) -> str:
        scope: Scope = {"$": data}
        return "".join(_render(nodes, data, scope))

    return render


def _error(message: str) -> TemplateError:
    return TemplateError(f"template parsing error: {message}")


class _Parser:
    """Splits the text into nodes; blocks nest by recursion."""

    def __init__(self, text: str) -> None:
        self._pieces = list(_split(text))
        self._at = 0

    def parse(self) -> list[Node]:
        nodes, end = self._body()
        if end:
            raise _error(f"unexpected {{{{{end}}}}}")
        return nodes

    def _body(self) -> tuple[list[Node], str]:
        nodes: list[Node] = []
        while self._at < len(self._pieces):
            is_action, text = self._pieces[self._at]
            self._at += 1
            if not is_action:
                nodes.append(Text(text))
                continue
            keyword, _, rest = text.partition(" ")
            if keyword in ("end", "else"):
                return nodes, text
            if keyword in ("if", "range", "with"):
                nodes.append(self._block(keyword, rest))
            elif not text.startswith("/*"):
                nodes.append(_action(text))
        return nodes, ""

    def _block(self, kind: str, text: str) -> Block:
        names, pipeline = _range_head(text) if kind == "range" else ((), _pipeline(text))
        body, end = self._body()
        otherwise: list[Node] = []
        if end.startswith("else"):
            rest = end.removeprefix("else").strip()
            if rest.startswith("if "):
                otherwise, end = [self._block("if", rest[3:])], "end"
            else:
                otherwise, end = self._body()
        if end != "end":
            raise _error("unexpected EOF: a block has no {{end}}")
        return Block(kind, names, pipeline, body, otherwise)


def _split(text: str) -> Iterator[tuple[bool, str]]:
    at = 0
    trim_next = False
    for found in _ACTION.finditer(text):
        before = text[at : found.start()]
        before = before.lstrip() if trim_next else before
        yield False, before.rstrip() if found[1] else before
        yield True, found[2].strip()
        trim_next = bool(found[3])
        at = found.end()
    rest = text[at:]
    if "{{" in rest:
        raise _error("unclosed action")
    yield False, rest.lstrip() if trim_next else rest


def _action(text: str) -> Node:
    if (text.startswith("$") and ":=" in text) or re.match(r"\$\w+\s*=", text):
        name, _, rest = text.partition(":=" if ":=" in text else "=")
        return Assign(name.strip(), _pipeline(rest))
    return Show(_pipeline(text))


def _range_head(text: str) -> tuple[tuple[str, ...], Pipeline]:
    if ":=" not in text:
        return (), _pipeline(text)
    names, _, rest = text.partition(":=")
    return tuple(name.strip() for name in names.split(",")), _pipeline(rest)


def _tokens(text: str) -> list[tuple[str, str]]:
    found, at = [], 0
    text = text.strip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None or match.end() == at:
            raise _error(f"unexpected {text[at]!r} in {text!r}")
        kind = match.lastgroup
        assert kind is not None
        found.append((kind, match[kind]))
        at = match.end()
    return found


def _pipeline(text: str) -> Pipeline:
    tokens = _tokens(text)
    pipeline, rest = _read_pipeline(tokens)
    if rest:
        raise _error(f"unexpected {rest[0][1]!r} in {text.strip()!r}")
    return pipeline


def _read_pipeline(tokens: list[tuple[str, str]]) -> tuple[Pipeline, list[tuple[str, str]]]:
    commands: list[tuple[object, ...]] = []
    current: list[object] = []
    while tokens:
        kind, text = tokens[0]
        if text == ")" and kind == "mark":
            break
        tokens = tokens[1:]
        if text == "|" and kind == "mark":
            commands.append(tuple(current))
            current = []
        elif text == "(" and kind == "mark":
            inner, tokens = _read_pipeline(tokens)
            if not tokens:
                raise _error("unclosed left paren")
            tokens = tokens[1:]
            current.append(inner)
        else:
            current.append(_operand(kind, text))
    commands.append(tuple(current))
    if not all(commands):
        raise _error("missing value for command")
    return Pipeline(tuple(commands)), tokens


def _operand(kind: str, text: str) -> object:
    if kind == "string":
        return Literal(text[1:-1] if text[0] == "`" else json.loads(f'"{text[1:-1]}"'))
    if kind == "number":
        return Literal(float(text) if "." in text else int(text))
    if kind == "field":
        return Path("", tuple(text[1:].split(".")))
    if kind == "variable":
        name, *fields = text.split(".")
        return Path(name, tuple(fields))
    if kind == "dot":
        return Path("", ())
    if kind == "mark":
        raise _error(f"unexpected {text!r}")
    return Name(text)


def _render(nodes: list[Node], dot: object, scope: Scope) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, Text):
            yield node.text
        elif isinstance(node, Show):
            yield shown(_evaluate(node.pipeline, dot, scope))
        elif isinstance(node, Assign):
            scope[node.name] = _evaluate(node.pipeline, dot, scope)
        elif node.kind == "range":
            yield from _render_range(node, dot, scope)
        else:
            yield from _render_choice(node, dot, scope)


def _render_choice(node: Block, dot: object, scope: Scope) -> Iterator[str]:
    value = _evaluate(node.pipeline, dot, scope)
    if truth(value):
        yield from _render(node.body, value if node.kind == "with" else dot, dict(scope))
    else:
        yield from _render(node.otherwise, dot, dict(scope))


def _render_range(node: Block, dot: object, scope: Scope) -> Iterator[str]:
    value = _evaluate(node.pipeline, dot, scope)
    pairs: list[tuple[object, object]]
    if isinstance(value, Mapping):
        pairs = [(key, value[key]) for key in sorted(value)]
    elif isinstance(value, list | tuple):
        pairs = list(enumerate(value))
    elif value is None:
        pairs = []
    else:
        raise _error(f"range can't iterate over {shown(value)}")
    if not pairs:
        yield from _render(node.otherwise, dot, dict(scope))
    for key, item in pairs:
        inner = dict(scope)
        if len(node.names) == 2:
            inner[node.names[0]] = key
        if node.names:
            inner[node.names[-1]] = item
        yield from _render(node.body, item, inner)


def _evaluate(pipeline: Pipeline, dot: object, scope: Scope) -> object:
    value: object = None
    for number, command in enumerate(pipeline.commands):
        value = _command(command, dot, scope, () if number == 0 else (value,))
    return value


def _command(
    command: tuple[object, ...], dot: object, scope: Scope, last: tuple[object, ...]
) -> object:
    first, *rest = command
    if isinstance(first, Name) and first.name not in _CONSTANTS:
        function = FUNCTIONS.get(first.name)
        if function is None:
            raise _error(f"function {first.name!r} not defined")
        arguments = [_value(each, dot, scope) for each in rest]
        try:
            return function(*arguments, *last)
        except (TypeError, ValueError, IndexError) as error:
            raise _error(f"error calling {first.name}: {error}") from None
    if rest or last:
        raise _error("can't give argument to non-function")
    return _value(first, dot, scope)


_CONSTANTS: dict[str, object] = {"true": True, "false": False, "nil": None}


def _value(operand: object, dot: object, scope: Scope) -> object:
    if isinstance(operand, Literal):
        return operand.value
    if isinstance(operand, Pipeline):
        return _evaluate(operand, dot, scope)
    if isinstance(operand, Name):
        if operand.name in _CONSTANTS:
            return _CONSTANTS[operand.name]
        return _command((operand,), dot, scope, ())
    assert isinstance(operand, Path)
    if operand.variable and operand.variable not in scope:
        raise _error(f"undefined variable {operand.variable!r}")
    value = scope[operand.variable] if operand.variable else dot
    for field in operand.fields:
        value = _field(value, field)
    return value


def _field(value: object, field: str) -> object:
    if isinstance(value, Mapping):
        if field in value:
            return value[field]
        raise _error(f"can't evaluate field {field}")
    raise _error(f"can't evaluate field {field} in a value that has none")


def truth(value: object) -> bool:
    """Go's idea of a non-empty value."""
    return bool(value)


def shown(value: object) -> str:
    """A value as Go prints it."""
    if value is None:
        return "<no value>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "map[" + " ".join(f"{key}:{shown(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list | tuple):
        return "[" + " ".join(shown(item) for item in value) + "]"
    return str(value)


def _index(value: object, *keys: object) -> object:
    for key in keys:
        if isinstance(value, Mapping):
            value = value.get(str(key), "")
        elif isinstance(value, list | tuple) and isinstance(key, int):
            if not 0 <= key < len(value):
                raise IndexError(f"index out of range: {key}")
            value = value[key]
        else:
            raise TypeError(f"can't index {shown(value)}")
    return value


def _join(values: object, separator: object = "") -> str:
    if values is None:
        return ""
    if not isinstance(values, list | tuple):
        raise TypeError(f"{shown(values)} is no list")
    return str(separator).join(shown(value) for value in values)


def _printf(form: object, *values: object) -> str:
    waiting = list(values)

    def fill(found: re.Match[str]) -> str:
        if found[2] == "%":
            return "%"
        if not waiting:
            return f"%!{found[2]}(MISSING)"
        value = waiting.pop(0)
        if found[2] == "q":
            return json.dumps(shown(value), ensure_ascii=False)
        if found[2] in "df" and isinstance(value, int | float):
            return f"%{found[1]}{found[2]}" % value
        return f"%{found[1]}s" % shown(value)

    return re.sub(r"%([-+0]*\d*(?:\.\d+)?)([sdvqf%])", fill, str(form))


def _length(value: object) -> int:
    if isinstance(value, str | list | tuple | Mapping):
        return len(value)
    raise TypeError(f"len of {shown(value)}")


def _compare(first: object, second: object) -> int:
    if isinstance(first, int | float) and isinstance(second, int | float):
        return (first > second) - (first < second)
    left, right = str(first), str(second)
    return (left > right) - (left < right)


def _and(*values: object) -> object:
    return next((value for value in values if not truth(value)), values[-1])


def _or(*values: object) -> object:
    return next((value for value in values if truth(value)), values[-1])


FUNCTIONS: dict[str, Callable[..., object]] = {
    "json": lambda value: json.dumps(value, separators=(",", ":"), ensure_ascii=False),
    "join": _join,
    "split": lambda text, separator: str(text).split(str(separator)),
    "upper": lambda text: str(text).upper(),
    "lower": lambda text: str(text).lower(),
    "title": lambda text: str(text)[:1].upper() + str(text)[1:],
    "index": _index,
    "len": _length,
    "print": lambda *values: "".join(shown(value) for value in values),
    "println": lambda *values: " ".join(shown(value) for value in values) + "\n",
    "printf": _printf,
    "eq": lambda first, *others: any(_compare(first, other) == 0 for other in others),
    "ne": lambda first, second: _compare(first, second) != 0,
    "lt": lambda first, second: _compare(first, second) < 0,
    "le": lambda first, second: _compare(first, second) <= 0,
    "gt": lambda first, second: _compare(first, second) > 0,
    "ge": lambda first, second: _compare(first, second) >= 0,
    "and": _and,
    "or": _or,
    "not": lambda value: not truth(value),
    "truncate": lambda text, length: str(text)[: int(length)],
    "pad": lambda text, left, right: " " * int(left) + str(text) + " " * int(right) if text else "",
    "slice": lambda value, *bounds: value[slice(*bounds)],
}
