"""What a step is called while it is carried out: its instruction in one line, as BuildKit has it.

The keyword is in capitals, and where the builder itself replaces variables (not the shell of a
RUN) the text has their values.
"""

from collections.abc import Mapping

from lamina import dockerfile as written
from lamina.dockerfile import Position
from lamina.errors import DockerfileError


def of_base(position: Position, arguments: Mapping[str, str]) -> str:
    """The title of a FROM, with the global arguments in it."""
    return _expanded(_capital(position.title), arguments)


def of_step(instruction: written.Instruction, variables: Mapping[str, str]) -> str:
    """The title of another instruction, with the variables of its stage in it."""
    title = _capital(instruction.position.title)
    if isinstance(instruction, written.Copy | written.Add | written.Workdir):
        return _expanded(title, variables)
    return title


def _capital(title: str) -> str:
    word, blank, rest = title.partition(" ")
    return f"{word.upper()}{blank}{rest}" if word.isalpha() else title


def _expanded(title: str, variables: Mapping[str, str]) -> str:
    """The title as it is where a variable has no value: that is told elsewhere."""
    if "$" not in title:
        return title
    try:
        found = written.expand(title, variables, raw=True)
    except DockerfileError:
        return title
    return title if found.undefined else " ".join(found.text.split())
