"""Flags as data: one table per command gives its parsing and its help.

docker's free order (`lamina build . -t nginx`), combined short flags (`-it`), `--flag=value`,
`--` ends them; where a command takes another command's words (`run`), flags end at the first
operand. Knows no command.
"""

from collections.abc import Sequence
from typing import NamedTuple

from lamina.errors import UsageError


class UnknownFlag(UsageError):
    """A flag that the command does not have; docker ends with 125 then."""

    exit_code = 125


class Flag(NamedTuple):
    """One flag. `metavar` is empty for a switch; `many` collects every value.

    With `bare` the value may be left out, and is that then; one that is given follows `=`.
    """

    name: str
    short: str
    metavar: str
    help: str
    many: bool = False
    bare: str = ""


class Usage(NamedTuple):
    """What a command takes: its flags, and what its operands are called.

    `least` and `most` bound the operands (None: any number); with `trailing` flags end at the
    first operand.
    """

    words: str
    summary: str
    flags: tuple[Flag, ...]
    least: int = 0
    most: int | None = 0
    trailing: bool = False


class Parsed(NamedTuple):
    """What was given."""

    values: dict[str, list[str]]
    operands: list[str]

    def has(self, name: str) -> bool:
        """Whether a switch was given (and not as `=false`)."""
        return self.values.get(name, ["false"])[-1] != "false"

    def one(self, name: str) -> str | None:
        """The last value of a flag."""
        given = self.values.get(name)
        return given[-1] if given else None

    def all(self, name: str) -> list[str]:
        """Every value of a flag."""
        return self.values.get(name, [])


_HELP = Flag("help", "", "", "print this help")
_BOOLEAN = {"true": "true", "1": "true", "false": "false", "0": "false"}


class HelpAsked(Exception):
    """The user asked for the command's help."""


def parse(verb: str, usage: Usage, words: Sequence[str]) -> Parsed:
    """Read a command's words; raises `UsageError`, `UnknownFlag` or `HelpAsked`."""
    parsed = Parsed({}, [])
    waiting = list(words)
    while waiting:
        word = waiting.pop(0)
        if word == "--":
            parsed.operands.extend(waiting)
            break
        if word.startswith("--"):
            _long(verb, usage, word[2:], waiting, parsed)
        elif word.startswith("-") and len(word) > 1:
            _short(verb, usage, word[1:], waiting, parsed)
        else:
            parsed.operands.append(word)
            if usage.trailing:
                parsed.operands.extend(waiting)
                break
    _check_count(verb, usage, parsed.operands)
    return parsed


def _find(verb: str, usage: Usage, name: str, short: bool) -> Flag:
    for flag in (*usage.flags, _HELP):
        if (flag.short if short else flag.name) == name:
            return flag
    if short and name == "h":  # where it has no other meaning, as docker takes it
        return _HELP
    shown = f"unknown shorthand flag: {name!r}" if short else f"unknown flag: --{name}"
    meant = "" if short else _near(name, usage)
    raise UnknownFlag(shown, hint=meant or _see_help(verb))


def _near(name: str, usage: Usage) -> str:
    """A hint with the flag that looks like `name`; empty when none does."""
    from difflib import get_close_matches  # only a mistake needs it

    near = get_close_matches(name[:40], [flag.name for flag in usage.flags], 1)
    return f"did you mean --{near[0]}?" if near else ""


def _see_help(verb: str) -> str:
    return f"see 'lamina {verb} --help'" if verb else "see 'lamina --help'"


def _long(verb: str, usage: Usage, text: str, waiting: list[str], parsed: Parsed) -> None:
    name, equals, value = text.partition("=")
    flag = _find(verb, usage, name, False)
    if flag is _HELP:
        raise HelpAsked
    if not flag.metavar:
        _switch(flag, value if equals else "true", parsed)
    elif equals or flag.bare:
        _keep(flag, value if equals else flag.bare, parsed)
    else:
        _keep(flag, _next(flag, waiting), parsed)


def _short(verb: str, usage: Usage, text: str, waiting: list[str], parsed: Parsed) -> None:
    while text:
        flag = _find(verb, usage, text[0], True)
        text = text[1:]
        if flag is _HELP:
            raise HelpAsked
        if flag.metavar:
            _keep(flag, text.removeprefix("=") if text else _next(flag, waiting), parsed)
            return
        _switch(flag, "true", parsed)


def _switch(flag: Flag, value: str, parsed: Parsed) -> None:
    if value.lower() not in _BOOLEAN:
        raise UsageError(f"invalid value {value!r} for --{flag.name}: it is true or false")
    parsed.values.setdefault(flag.name, []).append(_BOOLEAN[value.lower()])


def _keep(flag: Flag, value: str, parsed: Parsed) -> None:
    parsed.values.setdefault(flag.name, []).append(value)


def _next(flag: Flag, waiting: list[str]) -> str:
    if not waiting:
        raise UnknownFlag(f"the flag --{flag.name} needs a value")
    return waiting.pop(0)


def _check_count(verb: str, usage: Usage, operands: list[str]) -> None:
    least, most = usage.least, usage.most
    if len(operands) < least:
        wanted = f"at least {least}" if most is None or most > least else f"exactly {least}"
    elif most is not None and len(operands) > most:
        wanted = "no arguments" if most == 0 else f"at most {most}"
        if most == least:
            wanted = f"exactly {most}" if most else "no"
    else:
        return
    plural = "argument" if wanted.endswith(" 1") else "arguments"
    were = "was" if len(operands) == 1 else "were"
    raise UsageError(
        f"'lamina {verb}' takes {wanted} {plural}, and {len(operands)} {were} given",
        hint=_see_help(verb),
    )


def help_text(verb: str, usage: Usage) -> str:
    """What `--help` prints."""
    lines = [f"Usage:  lamina {verb} {usage.words}".rstrip(), "", usage.summary, ""]
    if usage.flags:
        lines.append("Options:")
        rows = [_row(flag) for flag in (*usage.flags, _HELP)]
        width = max(len(left) for left, _ in rows)
        lines += [f"  {left:<{width}}   {right}" for left, right in rows]
    return "\n".join(lines) + "\n"


def _row(flag: Flag) -> tuple[str, str]:
    short = f"-{flag.short}, " if flag.short else "    "
    return f"{short}--{spelling(flag)}", flag.help


def spelling(flag: Flag) -> str:
    """A flag with what follows it, without its dashes."""
    if flag.bare:
        return f"{flag.name}[={flag.metavar}]"
    return f"{flag.name} {flag.metavar}".strip()
