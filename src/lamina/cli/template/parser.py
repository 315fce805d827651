"""Pieces and tokens turned into nodes; a function that does not exist is refused here already."""

import re
from collections.abc import Collection

from lamina.cli.template.lexer import Token, pieces, refusal
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

_CONSTANTS: dict[str, object] = {"true": True, "false": False, "nil": None}
_BLOCKS = ("if", "range", "with")
_UNSUPPORTED = ("define", "template", "block", "break", "continue")
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{3}|.)", re.DOTALL)
_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_DEPTH = 100  # blocks or parentheses in one another; nobody writes ten


def parse(text: str, functions: Collection[str]) -> tuple[Node, ...]:
    """The nodes of a template; raises `TemplateError`."""
    parser = _Parser(text, functions)
    nodes, end = parser.body(0)
    if end:
        raise refusal(f"unexpected {{{{{end[0].text}}}}}")
    return nodes


class _Parser:
    """Blocks nest by recursion."""

    def __init__(self, text: str, functions: Collection[str]) -> None:
        self._pieces = pieces(text)
        self._functions = functions

    def body(self, depth: int) -> tuple[tuple[Node, ...], list[Token]]:
        """Nodes up to an `else` or `end`, and that action (empty at the end of the text)."""
        if depth > _DEPTH:
            raise refusal("blocks are nested too deeply")
        nodes: list[Node] = []
        for piece in self._pieces:
            if isinstance(piece, str):
                if piece:
                    nodes.append(Text(piece))
                continue
            word = piece[0].text if piece and piece[0].kind == "word" else ""
            if word in ("else", "end"):
                return tuple(nodes), piece
            if word in _UNSUPPORTED:
                raise refusal(f"{{{{{word}}}}} is not supported")
            if word in _BLOCKS:
                nodes.append(self._block(word, piece[1:], depth))
            else:
                nodes.append(self._action(piece))
        return tuple(nodes), []

    def _block(self, kind: str, tokens: list[Token], depth: int) -> Block:
        names, rest = _declared(tokens, 2 if kind == "range" else 1)
        pipeline = self._pipeline(rest, kind)
        body, end = self.body(depth + 1)
        otherwise: tuple[Node, ...] = ()
        if end and end[0].text == "else":
            if len(end) > 1 and end[1].text in ("if", "with"):
                otherwise = (self._block(end[1].text, end[2:], depth + 1),)
                return Block(kind, names, pipeline, body, otherwise)
            _refuse_more(end)
            otherwise, end = self.body(depth + 1)
        if not end or end[0].text != "end":
            raise refusal(f"unexpected EOF: {{{{{kind}}}}} has no {{{{end}}}}")
        _refuse_more(end)
        return Block(kind, names, pipeline, body, otherwise)

    def _action(self, tokens: list[Token]) -> Node:
        if len(tokens) > 1 and tokens[0].kind == "variable" and tokens[1].text in (":=", "="):
            pipeline = self._pipeline(tokens[2:], tokens[0].text)
            return Assign(tokens[0].text, pipeline, tokens[1].text == ":=")
        return Show(self._pipeline(tokens, "command"))

    def _pipeline(self, tokens: list[Token], what: str) -> Pipeline:
        reader = _Reader(tokens, self._functions)
        pipeline = reader.pipeline(what, 0)
        if reader.left:
            raise refusal(f"unexpected {reader.left[0].text!r}")
        return pipeline


def _declared(tokens: list[Token], most: int) -> tuple[tuple[str, ...], list[Token]]:
    """The variables before a `:=` (`$key, $value`), and what is after it."""
    at = next((number for number, token in enumerate(tokens) if token.text == ":="), None)
    if at is None:
        return (), tokens
    names = tuple(token.text for token in tokens[:at:2])
    commas = all(token.text == "," for token in tokens[1:at:2])
    variables = all(token.kind == "variable" for token in tokens[:at:2])
    if not (names and commas and variables and len(names) <= most and at % 2):
        raise refusal("what stands before := is no variable")
    return names, tokens[at + 1 :]


def _refuse_more(tokens: list[Token]) -> None:
    if len(tokens) > 1:
        raise refusal(f"unexpected {tokens[1].text!r} in {tokens[0].text}")


class _Reader:
    """Reads the tokens of one action from the left."""

    def __init__(self, tokens: list[Token], functions: Collection[str]) -> None:
        self.left = tokens
        self._functions = functions

    def pipeline(self, what: str, depth: int) -> Pipeline:
        if depth > _DEPTH:
            raise refusal("parentheses are nested too deeply")
        commands: list[tuple[Operand, ...]] = []
        while True:
            command = self._command(depth)
            if not command:
                raise refusal(f"missing value for {what}")
            if commands and not isinstance(command[0], Name | Path | Chain):
                raise refusal("only a function can take what comes through a pipe")
            commands.append(command)
            if not self.left or self.left[0].text != "|":
                return Pipeline(tuple(commands))
            self.left = self.left[1:]

    def _command(self, depth: int) -> tuple[Operand, ...]:
        operands: list[Operand] = []
        while self.left and not (self.left[0].kind == "mark" and self.left[0].text != "("):
            if operands and not self.left[0].spaced and self.left[0].text != "(":
                raise refusal(f"a space is missing before {self.left[0].text!r}")
            operands.append(self._operand(depth))
        return tuple(operands)

    def _operand(self, depth: int) -> Operand:
        token, self.left = self.left[0], self.left[1:]
        if token.text == "(" and token.kind == "mark":
            return self._parenthesised(depth)
        if token.kind == "string":
            return Literal(token.text[1:-1] if token.text[0] == "`" else unquoted(token.text))
        if token.kind == "char":
            return Literal(_rune(token.text))
        if token.kind == "number":
            return Literal(_number(token.text))
        if token.kind == "field":
            return Path("", (token.text[1:], *self._fields()))
        if token.kind == "variable":
            return Path(token.text, self._fields())
        if token.kind == "dot":
            return Path("", ())
        if token.text in _CONSTANTS:
            return Literal(_CONSTANTS[token.text])
        if token.text not in self._functions:
            raise refusal(f"function {token.text!r} not defined")
        return Name(token.text)

    def _parenthesised(self, depth: int) -> Operand:
        inner = self.pipeline("parenthesized pipeline", depth + 1)
        if not self.left or self.left[0].text != ")":
            raise refusal("unclosed left paren")
        self.left = self.left[1:]
        fields = self._fields()
        return Chain(inner, fields) if fields else inner

    def _fields(self) -> tuple[str, ...]:
        """The fields that follow without a space."""
        found = []
        while self.left and self.left[0].kind == "field" and not self.left[0].spaced:
            found.append(self.left[0].text[1:])
            self.left = self.left[1:]
        return tuple(found)


def unquoted(text: str) -> str:
    """A string in double quotes as Go reads it; raises `TemplateError`."""

    def meant(found: re.Match[str]) -> str:
        sign = found[1]
        if sign[0] in "xuU" and len(sign) > 1:
            number = int(sign[1:], 16)
        elif len(sign) == 3:
            number = int(sign, 8)
        elif sign in _ESCAPES or sign in "\\\"'":
            return _ESCAPES.get(sign, sign)
        else:
            raise refusal(f"unknown escape \\{sign} in {text[:40]}")
        if number > 0x10FFFF:
            raise refusal(f"\\{sign} is no character")
        return chr(number)

    return _ESCAPE.sub(meant, text[1:-1])


def _rune(text: str) -> int:
    value = unquoted(text)
    if len(value) != 1:
        raise refusal(f"malformed character constant {text}")
    return ord(value)


def _number(text: str) -> object:
    digits = text.replace("_", "")
    try:
        return float(digits) if "." in digits else int(digits, 0)
    except ValueError:
        raise refusal(f"bad number {text!r}") from None
