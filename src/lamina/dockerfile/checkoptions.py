"""What `# check=` says, at the top of a file or right above one instruction. Pure.

skip=Rule,Rule|all;error=true;experimental=Rule,Rule|all
"""

import re
from typing import NamedTuple

_COMMENT = re.compile(r"\s*#\s*check\s*=\s*(\S+).*", re.ASCII | re.IGNORECASE)


class CheckOptions(NamedTuple):
    """Rules to pass over, rules to try, and whether a warning fails the build."""

    skip: frozenset[str] = frozenset()
    experimental: frozenset[str] = frozenset()
    is_error: bool = False

    def skips(self, rule: str) -> bool:
        """Whether a rule is passed over."""
        return "all" in self.skip or rule in self.skip

    def tries(self, rule: str) -> bool:
        """Whether an experimental rule is wanted."""
        return "all" in self.experimental or rule in self.experimental


def parse(text: str) -> CheckOptions:
    """Read the options; what is unknown is passed over, as BuildKit does."""
    fields = dict(part.partition("=")[::2] for part in text.split(";"))
    return CheckOptions(
        _names(fields.get("skip", "")),
        _names(fields.get("experimental", "")),
        fields.get("error", "").strip().lower() in ("true", "1"),
    )


def above(lines: list[str], first: int) -> tuple[CheckOptions, str]:
    """What the comments right above line `first` (from one) say: options, and a description.

    The description is that of the last comment, which is what `--call=outline` shows.
    """
    skip: frozenset[str] = frozenset()
    description, number = "", first - 1
    while number and lines[number - 1].lstrip().startswith("#"):
        found = _COMMENT.fullmatch(lines[number - 1])
        if found is not None:
            skip |= parse(found[1]).skip
        elif number == first - 1:
            description = lines[number - 1].strip()[1:].strip()
        number -= 1
    return CheckOptions(skip), description


def _names(text: str) -> frozenset[str]:
    return frozenset(each.strip() for each in text.split(",") if each.strip())
