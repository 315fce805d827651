"""What made a layer, read from its line of history: docker's, BuildKit's and buildah's words. Pure.

A history holds no line numbers. `located` finds an image's steps in the Dockerfile it was built
from by their words, from the last step upwards.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from lamina.analyze.paths import printable
from lamina.dockerfile import Dockerfile, Instruction
from lamina.spec.imageconfig import HistoryEntry

_ARGUMENTS = re.compile(r"\|(\d{1,4}) ")
_ASSIGNED = re.compile(r"[A-Za-z_]\w*=\S* ?")
_NOP = "/bin/sh -c #(nop) "
_SHELL = "/bin/sh -c "
_VERBS = frozenset({"RUN", "COPY", "ADD", "WORKDIR"})
_SHORT = 60
_FLAGS = re.compile(r"^(?:--\S+ )+")  # of RUN: no history tells them


class Step(NamedTuple):
    """An instruction: its verb (empty where the history tells none), the rest, and its place.

    `line` counts from 1 in the Dockerfile that was looked at; 0 where it was not found.
    """

    verb: str
    text: str
    line: int = 0

    @property
    def short(self) -> str:
        """The instruction in few characters, for a sentence."""
        whole = f"{self.verb} {self.text}".strip() or "(a layer without history)"
        return whole if len(whole) <= _SHORT else whole[: _SHORT - 1] + "…"


def read(created_by: str) -> Step:
    """The instruction of one line of history."""
    text = printable(" ".join(created_by.split())).removesuffix("# buildkit").strip()
    if text.startswith(_NOP):
        verb, _, rest = text.removeprefix(_NOP).strip().partition(" ")
        return Step(verb, _without_digest(rest)) if verb in _VERBS else Step("", text)
    verb, _, rest = text.partition(" ")
    if verb not in _VERBS:
        verb, rest = ("RUN", text) if text.startswith((_SHELL, "|")) else ("", text)
    if verb == "RUN":
        return Step(verb, _without_arguments(rest).removeprefix(_SHELL).strip())
    return Step(verb, rest.strip())


def _without_arguments(text: str) -> str:
    """Without `|2 A=1 B=2`, the arguments that stood before a command."""
    found = _ARGUMENTS.match(text)
    if found is None:
        return text
    before, shell, command = text.partition(_SHELL)
    if shell:
        return shell + command
    rest = before[found.end() :]
    for _ in range(int(found[1])):  # as far as their values have no spaces: a history quotes none
        assigned = _ASSIGNED.match(rest)
        if assigned is None or assigned.end() == len(rest):
            break
        rest = rest[assigned.end() :]
    return rest


def _without_digest(text: str) -> str:
    """docker's old builder names a source `file:<digest>` and writes `in` before the target."""
    return re.sub(r"^((?:file|dir|multi):\S+) in ", r"\1 ", text)


def steps(history: Sequence[HistoryEntry], layers: int) -> list[Step]:
    """The instruction of each layer, lowest first; empty ones where the history is too short."""
    found = [
        read(entry.created_by)
        if entry.created_by
        else Step("", printable(" ".join(entry.comment.split())))
        for entry in history
        if not entry.empty_layer
    ]
    return (found + [Step("", "")] * layers)[:layers]


def located(found: Sequence[Step], dockerfile: Dockerfile) -> list[Step]:
    """The same steps with the lines of the Dockerfile that they are."""
    written = [_written(each) for stage in dockerfile.stages for each in stage.instructions]
    limit = len(written)
    placed = []
    for step in reversed(found):
        same = [at for at in range(limit) if written[at][:2] == step[:2] and step.verb]
        limit = same[-1] if same else limit
        placed.append(step._replace(line=written[limit].line if same else 0))
    return placed[::-1]


def _written(instruction: Instruction) -> Step:
    position = instruction.position
    verb, _, rest = " ".join(position.source.replace("\\\n", " ").split()).partition(" ")
    verb = verb.upper()
    return Step(verb, _FLAGS.sub("", rest) if verb == "RUN" else rest, position.first)
