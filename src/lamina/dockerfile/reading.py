"""From nodes to typed instructions: flags known, counts checked, nothing expanded yet."""

import re
from collections.abc import Callable, Iterable

from lamina.dockerfile.heredoc import Heredoc, parse_opening
from lamina.dockerfile.instructions import (
    Add,
    Arg,
    Cmd,
    Copy,
    Entrypoint,
    Env,
    Expose,
    From,
    Healthcheck,
    Instruction,
    Label,
    Maintainer,
    Onbuild,
    Pairs,
    Run,
    Shell,
    Stopsignal,
    User,
    Volume,
    Workdir,
)
from lamina.dockerfile.parser import Node, parse_nodes
from lamina.dockerfile.position import Position
from lamina.dockerfile.words import halved
from lamina.errors import DockerfileError

_STAGE = re.compile(r"[a-z][a-z0-9-_.]*", re.ASCII)


class Flags:
    """An instruction's flags, each taken once; what is left over is unknown."""

    def __init__(self, node: Node, known: dict[str, str]) -> None:
        self._node = node
        self._values: dict[str, list[str]] = {}
        for flag in node.flags:
            self._add(flag, known)

    def _add(self, flag: str, known: dict[str, str]) -> None:
        name, equals, value = flag[2:].partition("=")
        kind = known.get(name)
        where = self._node.position
        if kind is None:
            hint = _near(name, known, "--")
            raise where.error(f"unknown flag: --{name}", hint=hint, near=f"--{name}")
        if kind == "bool":
            value = value.lower() if equals else "true"
            if value not in ("true", "false"):
                message = f"expecting boolean value for flag {name}, not: {value}"
                raise where.error(message, hint=f"write --{name} alone", near=flag)
        elif not equals:
            raise where.error(f"missing a value on flag: {name}", near=f"--{name}")
        if kind != "list" and name in self._values:
            raise where.error(f"duplicate flag specified: {name}", near=f"--{name}")
        self._values.setdefault(name, []).append(value)

    def text(self, name: str) -> str:
        """The value of a flag; "" when it was not given."""
        return self._values.get(name, [""])[0]

    def switch(self, name: str) -> bool:
        """Whether a switch is on."""
        return self._values.get(name) == ["true"]

    def maybe(self, name: str) -> bool | None:
        """A switch's state; None when it was not given."""
        return self.switch(name) if name in self._values else None

    def many(self, name: str) -> tuple[str, ...]:
        """Every value of a flag."""
        return tuple(self._values.get(name, ()))


def _from(node: Node) -> From:
    flags = Flags(node, {"platform": "text"})
    args = node.args
    for number, word in enumerate(args):
        if word.startswith("#"):
            raise node.position.error(
                "a comment must start its line",
                hint=f"move {' '.join(args[number:])!r} to a line of its own",
                near=word,
            )
    if len(args) not in (1, 3) or (len(args) == 3 and args[1].upper() != "AS"):
        raise node.position.error(
            "FROM requires either one or three arguments",
            hint="write FROM image, or FROM image AS name, flags before the image",
        )
    name = args[2].lower() if len(args) == 3 else ""
    if name and not _STAGE.fullmatch(name):
        raise node.position.error(
            f"invalid name for build stage: {args[2]!r}",
            hint="a name begins with a letter and has only letters, digits, - _ .",
            near=args[2],
        )
    return From(node.position, args[0], name, flags.text("platform"))


def _run(node: Node) -> Run:
    flags = Flags(node, {"mount": "list", "network": "text", "security": "text", "device": "list"})
    if not node.args or not any(node.args):
        raise node.position.error("RUN requires at least one argument")
    for text in flags.many("mount"):
        _check_mount(text, node.position)
    return Run(
        node.position,
        node.args,
        node.is_json,
        node.heredocs,
        flags.many("mount"),
        flags.text("network"),
        flags.text("security"),
        flags.many("device"),
    )


def _check_mount(text: str, position: Position) -> None:
    """Refuse now what is wrong whatever the variables are."""
    from lamina.dockerfile import mounts

    try:
        mounts.origin_of(text)
        if "$" not in text:
            mounts.parse(text)
    except DockerfileError as error:
        raise position.error(error.brief, hint=error.hint, near=text) from None


def _split_target(node: Node) -> tuple[tuple[str, ...], str]:
    if len(node.args) < 2:
        raise node.position.error(
            f"{node.name} requires at least two arguments: sources and a destination"
            + (", but only one was provided" if node.args else "")
        )
    *sources, target = node.args
    if _is_heredoc(target, node.heredocs):
        message = f"{node.name} cannot accept a heredoc as a destination"
        raise node.position.error(message, near=target)
    kept = [each for each in sources if not _is_heredoc(each, node.heredocs)]
    return tuple(kept), target


def _is_heredoc(word: str, heredocs: tuple[Heredoc, ...]) -> bool:
    opened = parse_opening(word)
    return opened is not None and opened.name in {each.name for each in heredocs}


def _copy(node: Node) -> Copy:
    flags = Flags(
        node,
        {
            "from": "text",
            "chown": "text",
            "chmod": "text",
            "link": "bool",
            "parents": "bool",
            "exclude": "list",
        },
    )
    sources, target = _split_target(node)
    return Copy(
        node.position,
        sources,
        target,
        node.heredocs,
        flags.text("from"),
        flags.text("chown"),
        flags.text("chmod"),
        flags.switch("link"),
        flags.switch("parents"),
        flags.many("exclude"),
    )


def _add(node: Node) -> Add:
    flags = Flags(
        node,
        {
            "chown": "text",
            "chmod": "text",
            "link": "bool",
            "exclude": "list",
            "checksum": "text",
            "keep-git-dir": "bool",
            "unpack": "bool",
        },
    )
    sources, target = _split_target(node)
    return Add(
        node.position,
        sources,
        target,
        node.heredocs,
        flags.text("chown"),
        flags.text("chmod"),
        flags.switch("link"),
        flags.many("exclude"),
        flags.text("checksum"),
        flags.switch("keep-git-dir"),
        flags.maybe("unpack"),
    )


def _key_values(node: Node) -> Pairs:
    Flags(node, {})
    if not node.args:
        raise node.position.error(f"{node.name} requires at least one argument")
    pairs = tuple(zip(node.args[::3], node.args[1::3], strict=False))
    if any(not key for key, _ in pairs):
        raise node.position.error(f"{node.name} names can not be blank")
    return pairs


def _arg(node: Node) -> Arg:
    Flags(node, {})
    if not node.args:
        raise node.position.error("ARG requires at least one argument")
    pairs: list[tuple[str, str | None]] = []
    for word in node.args:
        key, equals, value = word.partition("=")
        if not key:
            raise node.position.error("ARG names can not be blank")
        pairs.append((key, value if equals else None))
    return Arg(node.position, tuple(pairs))


def _one(node: Node) -> str:
    Flags(node, {})
    if len(node.args) != 1 or not node.args[0].strip():
        raise node.position.error(f"{node.name} requires exactly one argument")
    return node.args[0].strip()


def _several(node: Node) -> tuple[str, ...]:
    Flags(node, {})
    if not node.args:
        raise node.position.error(f"{node.name} requires at least one argument")
    return node.args


def _volume(node: Node) -> Volume:
    paths = tuple(path.strip() for path in _several(node))
    if not all(paths):
        raise node.position.error("VOLUME specified can not be an empty string")
    return Volume(node.position, paths)


def _command(node: Node) -> tuple[tuple[str, ...], bool]:
    Flags(node, {})
    return node.args, node.is_json


def _shell(node: Node) -> Shell:
    Flags(node, {})
    if not node.is_json or not node.args:
        raise node.position.error('SHELL requires the arguments to be in JSON form: ["/bin/sh"]')
    return Shell(node.position, node.args)


_HEALTH_FLAGS = ("interval", "timeout", "start-period", "start-interval", "retries")


def _healthcheck(node: Node) -> Healthcheck:
    flags = Flags(node, dict.fromkeys(_HEALTH_FLAGS, "text"))
    if not node.args:
        raise node.position.error("HEALTHCHECK requires at least one argument")
    kind, *args = node.args
    if kind not in ("NONE", "CMD"):
        raise node.position.error(f"unknown type {kind!r} in HEALTHCHECK (try CMD)", near=kind)
    if kind == "NONE" and args:
        raise node.position.error("HEALTHCHECK NONE takes no arguments")
    if kind == "CMD" and not args:
        raise node.position.error("missing command after HEALTHCHECK CMD")
    options = tuple((name, flags.text(name)) for name in _HEALTH_FLAGS if flags.text(name))
    return Healthcheck(node.position, kind, tuple(args), node.is_json, options)


def _onbuild(node: Node) -> Onbuild:
    if not node.args:
        raise node.position.error("ONBUILD requires at least one argument")
    text = _one(node)
    inner = halved(text)[0].upper()
    if inner == "ONBUILD":
        raise node.position.error("chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if inner in ("FROM", "MAINTAINER"):
        raise node.position.error(f"{inner} isn't allowed as an ONBUILD trigger", near=inner)
    bodies = "".join(f"\n{each.content}{each.name}" for each in node.heredocs)
    _check_trigger(text + bodies, node.position)
    return Onbuild(node.position, text + bodies)


def _check_trigger(text: str, position: Position) -> None:
    """Refuse now what would fail in every image built on this one."""
    try:
        read_instruction(parse_nodes(text, position.file).nodes[0])
    except DockerfileError as error:
        raise position.error(error.brief, hint=error.hint) from None


_READERS: dict[str, Callable[[Node], Instruction]] = {
    "ADD": _add,
    "ARG": _arg,
    "CMD": lambda node: Cmd(node.position, *_command(node)),
    "COPY": _copy,
    "ENTRYPOINT": lambda node: Entrypoint(node.position, *_command(node)),
    "ENV": lambda node: Env(node.position, _key_values(node)),
    "EXPOSE": lambda node: Expose(node.position, _several(node)),
    "FROM": _from,
    "HEALTHCHECK": _healthcheck,
    "LABEL": lambda node: Label(node.position, _key_values(node)),
    "MAINTAINER": lambda node: Maintainer(node.position, _one(node)),
    "ONBUILD": _onbuild,
    "RUN": _run,
    "SHELL": _shell,
    "STOPSIGNAL": lambda node: Stopsignal(node.position, _one(node)),
    "USER": lambda node: User(node.position, _one(node)),
    "VOLUME": _volume,
    "WORKDIR": lambda node: Workdir(node.position, _one(node)),
}


def read_instruction(node: Node) -> Instruction:
    """The node as a typed instruction; raises `DockerfileError`, suggesting a near name."""
    reader = _READERS.get(node.name)
    if reader is None:
        word = halved(node.position.source)[0].split("\n")[0]
        hint = _near(node.name, _READERS)
        raise node.position.error(f"unknown instruction: {word[:60]}", hint=hint, near=word)
    return reader(node)


def _near(wrong: str, names: Iterable[str], prefix: str = "") -> str:
    """A hint with the name that looks like `wrong`; empty when none does."""
    from difflib import get_close_matches  # only a mistake needs it

    near = get_close_matches(wrong[:60], names, 1)
    return f"did you mean {prefix}{near[0]}?" if near else ""
