"""A template's nodes applied to data: documents of dicts, lists, texts, numbers and booleans.

docker's data are structs, where an unknown field is an error, and maps, where an unknown key has
no value. Here both are dicts: those that docker keeps as maps are told by the field they are in.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

from lamina.cli.template.functions import FUNCTIONS, LAZY, FreeMap, shown, truth
from lamina.cli.template.nodes import (
    Assign,
    Block,
    Chain,
    Literal,
    Name,
    Node,
    Operand,
    Path,
    Pipeline,
    Show,
    Text,
)
from lamina.errors import TemplateError

# moby, api/types: the fields of images, containers and `info` that are maps
_MAPS = frozenset(
    (
        *("Labels", "ExposedPorts", "Volumes", "Options", "Data", "Sysctls", "Tmpfs", "Networks"),
        *(
            "Ports",
            "PortBindings",
            "StorageOpt",
            "Annotations",
            "DriverOpts",
            "Runtimes",
            "Attributes",
        ),
    )
)


def render(nodes: tuple[Node, ...], data: object) -> str:
    """The text that a template comes to; raises `TemplateError`."""
    return "".join(_render(nodes, data, _Scope({"$": data}, None)))


def _refusal(what: str) -> TemplateError:
    return TemplateError(f"template execution error: {what}")


class _Scope:
    """Variables by name; an inner block sees and changes the outer ones, and adds its own."""

    def __init__(self, own: dict[str, object], outer: "_Scope | None") -> None:
        self._own = own
        self._outer = outer

    def holder(self, name: str) -> dict[str, object]:
        """Where a variable lives; raises `TemplateError`."""
        if name in self._own:
            return self._own
        if self._outer is None:
            raise _refusal(f"undefined variable {name!r}")
        return self._outer.holder(name)

    def declare(self, name: str, value: object) -> None:
        """Make a variable of this very scope."""
        self._own[name] = value

    def inner(self) -> "_Scope":
        """The scope of a block."""
        return _Scope({}, self)


def _render(nodes: tuple[Node, ...], dot: object, scope: _Scope) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, Text):
            yield node.text
        elif isinstance(node, Show):
            yield shown(_evaluate(node.pipeline, dot, scope))
        elif isinstance(node, Assign):
            value = _evaluate(node.pipeline, dot, scope)
            if node.declares:
                scope.declare(node.name, value)
            else:
                scope.holder(node.name)[node.name] = value
        elif node.kind == "range":
            yield from _render_range(node, dot, scope)
        else:
            yield from _render_choice(node, dot, scope.inner())


def _render_choice(node: Block, dot: object, scope: _Scope) -> Iterator[str]:
    value = _evaluate(node.pipeline, dot, scope)
    for name in node.names:
        scope.declare(name, value)
    if truth(value):
        yield from _render(node.body, value if node.kind == "with" else dot, scope)
    else:
        yield from _render(node.otherwise, dot, scope)


def _render_range(node: Block, dot: object, scope: _Scope) -> Iterator[str]:
    pairs = _pairs(_evaluate(node.pipeline, dot, scope))
    if not pairs:
        yield from _render(node.otherwise, dot, scope.inner())
    for key, item in pairs:
        inner = scope.inner()
        for name, value in zip(node.names, (key, item)[-len(node.names) :], strict=False):
            inner.declare(name, value)
        yield from _render(node.body, item, inner)


def _pairs(value: object) -> Sequence[tuple[object, object]]:
    if isinstance(value, Mapping):
        return [(key, value[key]) for key in sorted(value)]
    if isinstance(value, list | tuple):
        return list(enumerate(value))
    if isinstance(value, int) and not isinstance(value, bool):
        return [(number, number) for number in range(min(value, 1 << 20))]
    if value is None:
        return []
    raise _refusal(f"range can't iterate over {shown(value)}")


def _evaluate(pipeline: Pipeline, dot: object, scope: _Scope) -> object:
    value: object = None
    for number, command in enumerate(pipeline.commands):
        value = _command(command, dot, scope, () if number == 0 else (value,))
    return value


def _command(
    command: tuple[Operand, ...], dot: object, scope: _Scope, last: tuple[object, ...]
) -> object:
    first, *rest = command

    def arguments() -> Iterator[object]:
        for each in rest:
            yield _value(each, dot, scope)
        yield from last

    if isinstance(first, Name):
        return _call(first.name, FUNCTIONS[first.name], arguments(), first.name in LAZY)
    value = _value(first, dot, scope)
    if callable(value):
        return _call(_described(first), value, arguments(), False)
    if rest or last:
        raise _refusal(f"can't give argument to non-function {_described(first)}")
    return value


def _call(
    name: str, function: Callable[..., object], arguments: Iterator[object], is_lazy: bool
) -> object:
    """`and` and `or` take their arguments one by one, and no more than they need."""
    try:
        return function(arguments) if is_lazy else function(*arguments)
    except (TypeError, ValueError, IndexError, OverflowError) as error:
        words = str(error)
        if "positional argument" in words:
            words = "wrong number of arguments"
        raise _refusal(f"error calling {name}: {words}") from None


def _value(operand: Operand, dot: object, scope: _Scope) -> object:
    if isinstance(operand, Literal):
        return operand.value
    if isinstance(operand, Pipeline):
        return _evaluate(operand, dot, scope)
    if isinstance(operand, Name):
        return _command((operand,), dot, scope, ())
    if isinstance(operand, Chain):
        value = _evaluate(operand.pipeline, dot, scope)
    else:
        value = scope.holder(operand.variable)[operand.variable] if operand.variable else dot
    for field in operand.fields:
        value = _field(value, field)
    return value


def _field(value: object, field: str) -> object:
    if isinstance(value, FreeMap):
        return value.get(field)
    if isinstance(value, Mapping) and field in value:
        found: object = value[field]
        if field in _MAPS and (found is None or isinstance(found, Mapping)):
            return FreeMap.of(found)
        return found
    if value is None:
        raise _refusal(f"nil pointer evaluating .{field}")
    hint = ""
    if isinstance(value, Mapping) and value:
        hint = f"there are {', '.join(sorted(map(str, value))[:40])}"
    raise TemplateError(f"template execution error: can't evaluate field {field}", hint=hint)


def _described(operand: Operand) -> str:
    if isinstance(operand, Path):
        return operand.variable + "".join(f".{field}" for field in operand.fields) or "."
    return "a value"
