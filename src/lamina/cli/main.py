"""The dispatcher: global flags, then one command, of which alone anything is imported."""

import gc
import os
import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import NamedTuple, Protocol

from lamina.cli.flags import Flag, HelpAsked, Parsed, UnknownFlag, Usage, help_text, parse
from lamina.errors import LaminaError, UsageError, from_oserror


class Command(Protocol):
    """What a command's module holds."""

    USAGE: Usage

    def run(self, context: "Context", given: Parsed) -> int:
        """Carry it out; the exit status."""


class Context(NamedTuple):
    """What every command gets: the global flags and the environment."""

    root: str | None
    run_root: str | None
    driver: str | None
    storage_opts: tuple[str, ...]
    config: str | None


class Verb(NamedTuple):
    """A command's module and its line in the overview."""

    module: str
    summary: str


VERBS: dict[str, Verb] = {
    "attach": Verb("attach", "show what a running container writes, and feed it"),
    "build": Verb("build", "build an image from a Dockerfile"),
    "cat": Verb("cat", "write what a file of an image holds, without a container"),
    "check": Verb("check", "compare what is on disk with what the database says"),
    "commit": Verb("commit", "make an image of what a container changed"),
    "copy": Verb("copy", "copy an image between registries, archives, layouts and stores"),
    "compare": Verb("compare", "show what differs between two images, packages included"),
    "cp": Verb("cp", "copy files between a container and this machine"),
    "create": Verb("create", "make a container without starting it"),
    "dedupe": Verb("dedupe", "let equal files of different layers share their blocks"),
    "df": Verb("df", "show where the bytes are"),
    "diff": Verb("diff", "list what a container changed (A added, C changed, D deleted)"),
    "du": Verb("du", "show what the directories of an image take up"),
    "events": Verb("events", "show what happens to containers, images and volumes"),
    "exec": Verb("exec", "execute one more command in a running container"),
    "explore": Verb("explore", "walk through an image on this terminal"),
    "export": Verb("export", "write a container's whole tree as a tar"),
    "find": Verb("find", "show which layer and instruction brought a file, and its versions"),
    "fork": Verb("fork", "make containers with what another one has written"),
    "history": Verb("history", "show how an image came to be"),
    "images": Verb("images", "list images"),
    "import": Verb("import_", "make an image of a root file system's tar"),
    "info": Verb("info", "show this store, its driver, and why (--why)"),
    "inspect": Verb("inspect", "show everything of images or containers as JSON"),
    "kill": Verb("kill", "send containers a signal"),
    "load": Verb("load", "load images from an archive or an OCI layout"),
    "login": Verb("login", "log in to a registry"),
    "logout": Verb("logout", "forget who one is at a registry"),
    "logs": Verb("logs", "show what a container wrote while it ran detached"),
    "ls": Verb("ls", "list what a directory of an image holds, without a container"),
    "migrate": Verb("migrate", "take over images from another engine's store"),
    "pause": Verb("pause", "hold everything of a container still"),
    "port": Verb("port", "list the ports of a container (it has the host's, or none)"),
    "prune": Verb("prune", "remove what nothing uses"),
    "ps": Verb("ps", "list containers"),
    "pull": Verb("pull", "pull an image from a registry"),
    "push": Verb("push", "push an image to a registry"),
    "registry": Verb("registry", "ask a registry: tags, catalog, referrers, delete"),
    "rename": Verb("rename", "give a container another name"),
    "report": Verb("report", "write an HTML page of shared layers, bytes by path, and waste"),
    "restart": Verb("restart", "stop containers, if they run, and start them"),
    "reset": Verb("reset", "take away what a container has written"),
    "rm": Verb("rm", "remove containers"),
    "rmi": Verb("rmi", "remove images"),
    "run": Verb("run", "make a container and run a command in it"),
    "save": Verb("save", "write images as one archive"),
    "sbom": Verb("sbom", "show, attach or make a list of an image's packages (SBOM)"),
    "serve": Verb("serve", "serve the Docker Engine API to docker's own clients"),
    "slim": Verb("slim", "make an image with the same tree that carries nothing hidden"),
    "squash": Verb("squash", "make the layers of an image, or those from one on, one layer"),
    "start": Verb("start", "start containers that were made or have ended"),
    "stats": Verb("stats", "show what running containers use, as it changes"),
    "stop": Verb("stop", "ask containers to end, and kill those that do not"),
    "tag": Verb("tag", "give an image one more name"),
    "top": Verb("top", "list what runs in a container"),
    "tree": Verb("tree", "draw the images over the layers they share"),
    "unpause": Verb("unpause", "let a paused container go on"),
    "update": Verb("update", "hold containers to other limits, also while they run"),
    "version": Verb("version", "show the version"),
    "volume": Verb("volume", "keep data beside containers: create, ls, inspect, rm, prune"),
    "wait": Verb("wait", "wait until containers have ended"),
    "waste": Verb("waste", "show which bytes of an image are wasted, by what, and the repair"),
}


def _as(*words: str) -> dict[str, str]:
    """What is called alike outside of its group."""
    return {word: word for word in words}


def _in(group: str, *words: str) -> dict[str, str]:
    """What is in that group alone."""
    return {word: f"{group} {word}" for word in words}


def _modules(group: str, *words: str) -> dict[str, str]:
    """The modules of what is in that group alone."""
    return {f"{group} {word}": f"{group} {word}".replace(" ", "_") for word in words}


# docker's management spellings lead to the same commands.
GROUPS = {
    "image": {
        **_as("build", "history", "import", "inspect", "load", "pull", "push", "save", "tag"),
        "ls": "images",
        "list": "images",
        "prune": "image prune",
        "rm": "rmi",
    },
    "container": {
        **_as("attach", "commit", "cp", "create", "diff", "exec", "export", "fork", "inspect"),
        **_as("kill", "logs", "pause", "port", "rename", "reset", "restart", "rm", "run", "start"),
        **_as("stats", "stop", "top", "unpause", "update", "wait"),
        "ls": "ps",
        "list": "ps",
        "prune": "container prune",
    },
    "registry": _in("registry", "catalog", "delete", "referrers", "tags"),
    "sbom": {**_in("sbom", "attach", "ls", "make"), "list": "sbom ls"},
    "system": _as("df", "events", "info", "prune"),
    "builder": {**_as("build"), "prune": "builder prune"},
    "buildx": {**_as("build"), "du": "cache ls", "prune": "builder prune"},
    "volume": {
        **_in("volume", "create", "inspect", "ls", "prune", "rm"),
        "list": "volume ls",
        "remove": "volume rm",
    },
    "cache": {"ls": "cache ls", "list": "cache ls", "prune": "builder prune"},
    "cache mount": _in("cache mount", "load", "ls", "rm", "save"),
}
# What exists in a group alone, by its module.
GROUPED = {
    "image prune": "prune_images",
    "container prune": "prune_containers",
    "builder prune": "prune_cache",
    **_modules("cache", "ls"),
    **_modules("cache mount", "load", "ls", "rm", "save"),
    **_modules("registry", "catalog", "delete", "referrers", "tags"),
    **_modules("sbom", "attach", "ls", "make"),
    **_modules("volume", "create", "inspect", "ls", "prune", "rm"),
}
_OPEN = frozenset(("sbom",))  # a group that takes other words, too
# What docker has and this has not: no other word is near in meaning, however alike it is spelled.
_ABSENT = {
    "network": "a container has the host's network, or none: see 'lamina run --help'",
    "manifest": "see `lamina build --platform`, `lamina copy --all` and `lamina registry`",
    "search": "`lamina registry catalog` lists what a registry has",
}

GLOBAL = Usage(
    "[OPTIONS] COMMAND",
    "Container images as shared layers, with no daemon",
    (
        Flag("root", "", "DIR", "where the store lies (LAMINA_ROOT; /var/lib/lamina)"),
        Flag("run-root", "", "DIR", "where volatile things lie (/run/lamina)"),
        Flag("driver", "s", "NAME", "storage driver (LAMINA_DRIVER; --storage-driver)"),
        Flag("storage-driver", "", "NAME", "the same"),
        Flag("storage-opt", "", "KEY=VALUE", "an option of the storage driver", True),
        Flag("config", "", "FILE", "configuration file (/etc/lamina/daemon.json)"),
        Flag("version", "v", "", "print the version"),
    ),
    0,
    None,
    True,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status. Every error is one line on standard error."""
    _open_closed_ones()
    words = list(sys.argv[1:] if arguments is None else arguments)
    gc.set_threshold(100_000, 50, 1_000)  # a command makes many small values and lives briefly
    try:
        return _flushed(_dispatch(words))
    except LaminaError as error:
        _flush()
        return _complain(str(error), error.exit_code, error.excerpt)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        _mute(sys.stdout.fileno())
        return 1
    except OSError as error:
        if os.environ.get("LAMINA_DEBUG"):
            raise
        return _flushed(0) or _complain(str(from_oserror(error, "reading or writing")), 1)
    except Exception as error:
        if os.environ.get("LAMINA_DEBUG"):
            raise
        what = f"{type(error).__name__}: {error}"
        return _complain(f"internal error: {what}; set LAMINA_DEBUG=1 to see where", 70)


def _open_closed_ones() -> None:
    """A standard stream that we were started without must not become one of the store's files."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number: this one
            os.set_inheritable(descriptor, True)
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - for the whole process
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115


def _flushed(status: int) -> int:
    """The exit status once all output is written; where it cannot be, that is the failure."""
    lost = _flush()
    if lost is None:
        return status
    if not isinstance(lost, BrokenPipeError):
        _complain(f"writing to standard output: {lost.strerror}", 1)
    return status or 1


def _flush() -> OSError | None:
    """Write what is still held back; gives why that failed, and nothing is written after that."""
    try:
        sys.stdout.flush()
    except OSError as error:
        _mute(sys.stdout.fileno())
        return error
    return None


def _complain(sentence: str, status: int, excerpt: str = "") -> int:
    text = (f"{excerpt}\n" if excerpt else "") + f"lamina: {_printable(sentence)}\n"
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except OSError:
        _mute(sys.stderr.fileno())
    return status


def _printable(text: str) -> str:
    """Without control characters: a member's name must not move the cursor."""
    lines = text.split("\n")
    return "\n".join("".join(c if c.isprintable() else "?" for c in line) for line in lines)


def _mute(descriptor: int) -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, descriptor)
    os.close(null)


def _dispatch(words: list[str]) -> int:
    try:
        given = parse("", GLOBAL, words)
    except HelpAsked:
        print(_overview(), end="")
        return 0
    if given.has("version"):
        return _print_version()
    helped = _help_on(given.operands)
    if helped:
        print(helped, end="")
        return 0
    context = Context(
        given.one("root"),
        given.one("run-root"),
        given.one("driver") or given.one("storage-driver"),
        tuple(given.all("storage-opt")),
        given.one("config"),
    )
    verb, module, rest = _find(given.operands)
    return _run(context, verb, module, rest)


def _help_on(operands: list[str]) -> str:
    """What is printed where no command is named but all of them, or a group; else nothing."""
    words = _grouped([word for word in operands if word not in ("help", "--help", "-h")])
    if not words:
        return _overview()
    if len(words) > 1 or words[0] not in GROUPS or words[0] in VERBS:
        return ""
    return _group_overview(words[0])


def _grouped(operands: list[str]) -> list[str]:
    """The words, the names of a group in a group made one."""
    group = " ".join(operands[:2])
    return [group, *operands[2:]] if len(operands) > 1 and group in GROUPS else operands


def _find(operands: list[str]) -> tuple[str, str, list[str]]:
    """The verb as the user knows it, its module and its words."""
    verb, *rest = _grouped(operands)
    if verb in GROUPS and rest and not rest[0].startswith("-"):
        meant = GROUPS[verb].get(rest[0])
        if meant is None and verb in _OPEN:
            return verb, VERBS[verb].module, rest
        if meant is None:
            raise _unknown(f"{verb} {rest[0]}", rest[0], GROUPS[verb])
        module = GROUPED[meant] if meant in GROUPED else VERBS[meant].module
        return f"{verb} {rest[0]}", module, rest[1:]
    if verb == "help" and rest:
        verb, module, _ = _find(rest)
        return verb, module, ["--help"]
    if verb not in VERBS:
        raise _unknown(verb, verb, [*VERBS, *GROUPS])
    return verb, VERBS[verb].module, rest


def _unknown(said: str, word: str, there: Iterable[str]) -> UsageError:
    """The error for a word that no command has, with what was perhaps meant."""
    from difflib import get_close_matches

    near = get_close_matches(word, there, 1)
    nearest = f"did you mean '{said.removesuffix(word)}{near[0]}'?" if near else ""
    hint = _ABSENT.get(word) or nearest or "see 'lamina --help'"
    return UsageError(f"'{said}' is not a lamina command", hint=hint)


def command_of(module: str) -> Command:
    """The command in a module of `lamina.cli.commands`."""
    command: Command = import_module(f"lamina.cli.commands.{module}")
    return command


def _run(context: Context, verb: str, module: str, words: list[str]) -> int:
    command = command_of(module)
    try:
        given = parse(verb, command.USAGE, words)
    except UnknownFlag as error:
        raise _placed(error) from None
    except HelpAsked:
        print(help_text(verb, command.USAGE), end="")
        return 0
    return command.run(context, given)


def _placed(error: UnknownFlag) -> UnknownFlag:
    """The same error; for a flag of the whole command it says where that belongs."""
    for flag in GLOBAL.flags:
        if error.brief == f"unknown flag: --{flag.name}":
            hint = f"it stands before the command: lamina --{flag.name} {flag.metavar} ..."
            return UnknownFlag(error.brief, hint=hint)
    return error


def _print_version() -> int:
    from lamina import __version__

    print(f"Lamina version {__version__}")
    return 0


def _overview() -> str:
    width = max(len(verb) for verb in VERBS)
    lines = [help_text("", GLOBAL).replace("lamina  ", "lamina "), "Commands:"]
    lines += [f"  {verb:<{width}}   {entry.summary}" for verb, entry in VERBS.items()]
    groups = sorted(group for group in GROUPS if " " not in group)
    lines += ["", f"Groups of commands: {', '.join(groups)}."]
    lines += ["Run 'lamina COMMAND --help' for more on a command or a group."]
    return "\n".join(lines) + "\n"


def _group_overview(group: str) -> str:
    rows = {word: _summary(meant) for word, meant in GROUPS[group].items()}
    for inner, words in GROUPS.items():
        if inner.startswith(f"{group} "):
            rows[inner.removeprefix(f"{group} ")] = f"a group of its own: {', '.join(words)}"
    width = max(len(word) for word in rows)
    lines = [f"Usage:  lamina {group} COMMAND", "", "Commands:"]
    lines += [f"  {word:<{width}}   {rows[word]}" for word in sorted(rows)]
    lines += ["", f"Run 'lamina {group} COMMAND --help' for more on a command."]
    return "\n".join(lines) + "\n"


def _summary(meant: str) -> str:
    """A command's line in an overview; one that exists in a group alone says it itself."""
    if meant in VERBS:
        return VERBS[meant].summary
    summary = command_of(GROUPED[meant]).USAGE.summary
    return summary[:1].lower() + summary[1:]


__all__ = ["GLOBAL", "GROUPED", "GROUPS", "VERBS", "Context", "UnknownFlag", "command_of", "main"]
