"""The part of Go's text/template that people use with `--format`.

    text -> lexer (pieces, tokens) -> parser (nodes) -> evaluator, with functions -> text

Fields and chains, pipelines, variables, `if`, `range` and `with` with their `else`s, comments,
trimming, docker's functions and Go's own. Pure: no file, no clock, no command. Imported only by a
command that was given a template.
"""

from collections.abc import Callable

from lamina.cli.template.evaluator import render
from lamina.cli.template.functions import FUNCTIONS
from lamina.cli.template.parser import parse

__all__ = ["compile_template"]


def compile_template(text: str) -> Callable[[object], str]:
    """The template as a function of its data; raises `TemplateError`, also when it is run."""
    nodes = parse(text, FUNCTIONS.keys())
    return lambda data: render(nodes, data)
