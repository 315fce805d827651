"""What several checks need: findings, names that look alike, expansion that never fails. Pure."""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import NamedTuple

from lamina.dockerfile.expand import Expansion, expand
from lamina.dockerfile.instructions import Arg, From, Instruction
from lamina.errors import DockerfileError

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SECRET = re.compile(
    r"(?:^|_)(?:apikey|auth|credentials?|key|password|pword|passwd|secret|token)(?:_|$)",
    re.IGNORECASE | re.ASCII,
)
_HARMLESS = re.compile(r"(?:^|_)(?:public|file|version)(?:_|$)", re.IGNORECASE | re.ASCII)


class Finding(NamedTuple):
    """What a rule says."""

    rule: str
    detail: str


def env_of_scratch() -> dict[str, str]:
    """What a stage that begins with nothing has."""
    return {"PATH": _PATH}


def expanded(text: str, env: Mapping[str, str], escape: str) -> Expansion:
    """The text with its variables; as it is, where it cannot be expanded."""
    try:
        return expand(text, env, escape=escape)
    except DockerfileError:
        return Expansion(text, frozenset(), frozenset())


def near(name: str, names: Iterable[str], mark: str = "") -> str:
    """` (did you mean NAME?)` for the name that looks most like it; nothing for none."""
    close = get_close_matches(name[:60], sorted(set(names) - {name}), 1)
    return f" (did you mean {mark}{close[0]}?)" if close else ""


def is_secret(name: str) -> bool:
    """Whether a variable's name says that its value is nobody else's business."""
    return bool(_SECRET.search(name)) and not _HARMLESS.search(name)


def described(instruction: Instruction, comment: str) -> list[Finding]:
    """Whether a comment above ARG or FROM describes what it stands above."""
    if not comment or not isinstance(instruction, Arg | From):
        return []
    if isinstance(instruction, From):
        names, shown, kind = [instruction.name], instruction.name, "FROM"
        if not instruction.name:
            return []
    else:
        names = [name for name, _ in instruction.pairs]
        shown = names[0] if len(names) == 1 else "<arg_key>"
        kind = "ARG"
    if comment.split(maxsplit=1)[0] in names and len(comment.split()) > 1:
        return []
    what = f"Comment for {kind} should follow the format: `# {shown} <description>`"
    return [Finding("InvalidDefinitionDescription", what)]
