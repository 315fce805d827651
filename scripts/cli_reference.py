"""`make reference`: docs/reference/cli.md from the tables that also give parsing and `--help`.

The page is never edited by hand; `make docs` says when it is not what is written here.
"""

import os
from collections.abc import Iterator

from lamina.cli.flags import Flag, Usage, spelling
from lamina.cli.main import GLOBAL, GROUPED, GROUPS, VERBS, command_of

PAGE = os.path.join("docs", "reference", "cli.md")
_CHECKOUT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_HEAD = """\
# The command

Written by `make reference` from the command's own parsers; not to be edited.

Flags of the whole command stand before the verb, a command's flags anywhere after it (with `run`
and `create`: before the image). `-it` is `-i -t`, `--flag=value` is `--flag value`, and `--` ends
the flags. An error is one line on standard error. The exit status is 0, or 1 for what failed, 125
for an unknown flag and for what `run` could not start, 126 and 127 for a program in a container
that cannot be run or is not there; `run` ends with its command's own.
"""


def main() -> None:
    """Write the page."""
    path = os.path.join(_CHECKOUT, PAGE)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(reference())


def reference() -> str:
    """The whole page."""
    parts = [_HEAD, _section("", GLOBAL, ())]
    for verb, entry in VERBS.items():
        parts.append(_section(verb, command_of(entry.module).USAGE, _spellings(verb)))
    for verb, module in GROUPED.items():
        parts.append(_section(verb, command_of(module).USAGE, ()))
    return "\n".join(parts)


def _spellings(verb: str) -> tuple[str, ...]:
    """docker's management spellings of a command."""
    return tuple(
        f"{group} {word}"
        for group, words in GROUPS.items()
        for word, meant in words.items()
        if meant == verb
    )


def _section(verb: str, usage: Usage, spellings: tuple[str, ...]) -> str:
    command = f"lamina {verb}".strip()
    lines = [f"## {command}", "", f"{usage.summary}.", "", "```"]
    lines += [f"{command} {usage.words}".strip(), "```"]
    if spellings:
        also = ", ".join(f"`lamina {each}`" for each in spellings)
        lines += ["", f"Also spelled {also}."]
    if usage.flags:
        lines += ["", "| flag | |", "|---|---|", *_rows(usage.flags)]
    return "\n".join(lines) + "\n"


def _rows(flags: tuple[Flag, ...]) -> Iterator[str]:
    for flag in flags:
        short = f"`-{flag.short}`, " if flag.short else ""
        name = f"--{spelling(flag)}".replace("|", "\\|")
        many = " (more than once)" if flag.many else ""
        text = flag.help.replace("|", "\\|")
        yield f"| {short}`{name}` | {text}{many} |"


if __name__ == "__main__":
    main()
