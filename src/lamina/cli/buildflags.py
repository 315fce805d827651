"""What `lamina build` is told, and the request that it comes to."""

import os
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from lamina.cli.flags import Flag, Parsed
from lamina.cli.platformflag import platforms_of
from lamina.cli.progressflag import PROGRESS
from lamina.cli.streams import source_date_epoch, stdin_stream
from lamina.cli.transfers import TLS_VERIFY
from lamina.errors import UsageError

if TYPE_CHECKING:  # the help does not load what builds
    from lamina.archive.compress import ByteStream
    from lamina.build import BuildRequest
    from lamina.build.annotations import Annotation
    from lamina.build.attests import Attests
    from lamina.build.named import Named
    from lamina.build.outputs import Output
    from lamina.build.secrets import Secret
    from lamina.build.surroundings import Surroundings

_CALLS = ("build", "check", "outline", "targets")
_TEXT = 4 << 20  # bytes of standard input that are read of a Dockerfile
_CONFIGURATION = 1 << 20  # bytes of docker's configuration file
_PROGRESS = "BUILDKIT_PROGRESS"
_SAKE = "accepted for docker's sake"
FLAGS = (
    Flag(
        "add-host", "", "NAME:ADDRESS", "a host that RUN knows (host-gateway: this machine)", True
    ),
    Flag("allow", "", "RIGHT", "let RUN ask for more: security.insecure", True),
    Flag("annotation", "", "KEY=VALUE", "annotate the manifest; index:KEY=VALUE the index", True),
    Flag("attest", "", "WHAT", "say of the image: type=provenance[,mode=max], or type=sbom", True),
    Flag("build-arg", "", "KEY[=VALUE]", "the value of an ARG; without a value, yours", True),
    Flag("builder", "", "NAME", _SAKE),
    Flag("build-context", "", "NAME=CONTEXT", "a directory, URL or image for that name", True),
    Flag("cache-from", "", "CACHE", "ask it, too: IMAGE, or type=registry|local,...", True),
    Flag("cache-to", "", "CACHE", "write one: type=registry|local|inline,...[,mounts=true]", True),
    Flag("call", "", "WHAT", "build, check, outline or targets, also outline,format=json"),
    Flag("cap-add", "", "CAPABILITY", "give RUN one more, or ALL", True),
    Flag("cap-drop", "", "CAPABILITY", "take one from RUN, or ALL", True),
    Flag("cgroup-parent", "", "GROUP", "the control group that RUN's own are to lie below"),
    Flag("check", "", "", "say what the build checks find, and build nothing"),
    Flag("compress", "", "", _SAKE),
    Flag("cpu-period", "", "MICROSECONDS", "the time in which --cpu-quota may be used by RUN"),
    Flag("cpu-quota", "", "MICROSECONDS", "processor time of RUN in each --cpu-period"),
    Flag("cpu-shares", "c", "NUMBER", "RUN's share of busy processors (1024)"),
    Flag("cpuset-cpus", "", "LIST", "which processors RUN may use, as 0-3,5"),
    Flag("cpuset-mems", "", "LIST", "which memory nodes RUN may use"),
    Flag("debug", "D", "", _SAKE),
    Flag("debug-shell", "", "", "open a shell where a command failed, on what it began with"),
    Flag("disable-content-trust", "", "", _SAKE),
    Flag("dns", "", "ADDRESS", "a name server for RUN, in the place of this machine's", True),
    Flag("dns-option", "", "WORD", "an option of RUN's resolv.conf", True),
    Flag("dns-search", "", "DOMAIN", "a domain that RUN looks for names in", True),
    Flag("explain", "", "", "say of each step why it was or was not carried out"),
    Flag("file", "f", "FILE", "the Dockerfile (- is standard input)"),
    Flag("force-rm", "", "", _SAKE),
    Flag("ignorefile", "", "FILE", "the ignore file, in the place of .dockerignore"),
    Flag("iidfile", "", "FILE", "write the image's ID there"),
    Flag("isolation", "", "KIND", "of RUN: crun, runc or chroot; default, oci: the best here"),
    Flag("jobs", "", "N", "stages at once; as many as there are processors, two at least"),
    Flag("label", "", "KEY=VALUE", "a label of the image", True),
    Flag("load", "", "", "keep the image in the store beside what -o asks for"),
    Flag("memory", "m", "BYTES", "how much memory RUN may use, as 512m"),
    Flag("memory-swap", "", "BYTES", "memory and swap of RUN together; -1 for unlimited swap"),
    Flag("metadata-file", "", "FILE", "write what was built there, as JSON"),
    Flag("network", "", "MODE", "of RUN: host (the default, for now) or none"),
    Flag("no-cache", "", "", "carry out every step anew"),
    Flag("no-cache-filter", "", "STAGE", "carry out every step of that stage anew", True),
    Flag(
        "output",
        "o",
        "OUTPUT",
        "type=oci|docker|tar|local,dest=PATH instead, or registry",
        True,
    ),
    Flag(
        "platform",
        "",
        "OS/ARCH",
        "what to build for, perhaps several (DOCKER_DEFAULT_PLATFORM; this machine)",
        True,
    ),
    PROGRESS,
    Flag("provenance", "", "WHICH", "--attest type=provenance; also mode=max", bare="true"),
    Flag(
        "pull",
        "",
        "WHEN",
        "pull bases always; or when missing (the default), newer, never",
        bare="always",
    ),
    Flag("push", "", "", "push every name that the image gets"),
    Flag("quiet", "q", "", "print only the image's ID"),
    Flag("resource", "", "KEY=VALUE", "as the flag of that name, as memory=512m", True),
    Flag("rm", "", "", _SAKE),
    Flag("sbom", "", "WHICH", "--attest type=sbom: an SPDX list of packages", bare="true"),
    Flag("secret", "", "SECRET", "of RUN --mount=type=secret: id=NAME,src=FILE|env=NAME", True),
    Flag("security-opt", "", "OPTION", "of RUN: no-new-privileges, seccomp=FILE, ...", True),
    Flag("shm-size", "", "BYTES", "the size of RUN's /dev/shm (64m)"),
    Flag("squash", "", "", "make one layer of those that the build adds"),
    Flag("ssh", "", "AGENT", "of RUN --mount=type=ssh: default, or ID=SOCKET", True),
    Flag("tag", "t", "NAME[:TAG]", "a name for the image", True),
    Flag("target", "", "STAGE", "build up to that stage"),
    Flag("timestamp", "", "SECONDS", "as SOURCE_DATE_EPOCH: no time in the image is later"),
    TLS_VERIFY,
    Flag("ulimit", "", "NAME=SOFT[:HARD]", "a limit of each process of RUN, as nofile=1024", True),
)
_AROUND = (
    *("add-host", "cap-add", "cap-drop", "cgroup-parent", "dns", "dns-option", "dns-search"),
    *("cpu-period", "cpu-quota", "cpu-shares", "cpuset-cpus", "cpuset-mems", "memory"),
    *("memory-swap", "resource", "security-opt", "shm-size", "ulimit"),
)


def request_of(
    given: Parsed,
    tags: Sequence[str],
    *,
    stored: bool,
    kept: bool,
    annotations: "Sequence[Annotation]" = (),
    attests: frozenset[str] = frozenset(),
) -> "BuildRequest":
    """The build that is asked for; reads standard input where that is meant.

    Raises `UsageError`.
    """
    from lamina.engine.building import BuildRequest

    context, text, file = _read_from(given.operands[0], given.one("file"))
    return BuildRequest(
        context=context,
        dockerfile=file,
        dockerfile_text=text,
        ignore_file=given.one("ignorefile"),
        tags=tuple(tags),
        build_args={**_proxies(), **_arguments(given.all("build-arg"))},
        target=given.one("target"),
        labels=dict(_pair(each) for each in given.all("label")),
        network=given.one("network") or "default",
        no_cache=given.has("no-cache"),
        source_date_epoch=_epoch(given),
        secrets=_secrets(given.all("secret")),
        agents=_agents(given.all("ssh")),
        allow=frozenset(given.all("allow")),
        contexts=_contexts(given.all("build-context")),
        squash=given.has("squash"),
        stored=stored,
        kept=kept,
        no_cache_stages=frozenset(listed(given.all("no-cache-filter"))),
        jobs=_number(given.one("jobs")),
        platforms=tuple(listed(platforms_of(given))),
        annotations=tuple(annotations),
        attests=attests,
        surroundings=_surroundings(given),
    )


def _read_from(
    path: str, file: str | None
) -> "tuple[str | ByteStream | None, bytes | None, str | None]":
    """The context, the text and the name of the Dockerfile: standard input can be either."""
    if path != "-" and file != "-":
        return path, None, file
    if sys.stdin.isatty():
        raise UsageError("standard input is a terminal, and a Dockerfile is expected there")
    if path != "-":
        return path, sys.stdin.buffer.read(_TEXT), None
    from lamina.engine.buildwords import Begun, is_archive

    begun = Begun(stdin_stream(sys.stdin.buffer))
    if not is_archive(begun.start):
        return None, begun.text(_TEXT), None
    if file == "-":
        raise UsageError("standard input cannot be both the context and the Dockerfile")
    return begun, None, file


def _epoch(given: Parsed) -> int | None:
    text = given.one("timestamp")
    return source_date_epoch(os.environ if text is None else {"SOURCE_DATE_EPOCH": text})


def _secrets(texts: Sequence[str]) -> "dict[str, Secret]":
    if not texts:
        return {}
    from lamina.engine.buildwords import parse_secret

    return dict(parse_secret(each, os.environ) for each in texts)


def _agents(texts: Sequence[str]) -> dict[str, str]:
    if not texts:
        return {}
    from lamina.engine.buildwords import parse_agent

    return dict(parse_agent(each, os.environ) for each in texts)


def _contexts(texts: Sequence[str]) -> "dict[str, Named]":
    if not texts:
        return {}
    from lamina.engine.buildwords import parse_named

    return dict(parse_named(each) for each in texts)


class Order(NamedTuple):
    """What is to go where, under which names; `attests` is None where nothing is said of it."""

    request: "BuildRequest"
    outputs: "Sequence[Output]"
    names: list[str]
    attests: "Attests | None"
    is_pushed: bool


class Call(NamedTuple):
    """What is to be done, and how what it finds is to be told."""

    what: str
    is_json: bool = False
    ignores_status: bool = False


def call_of(given: Parsed) -> Call:
    """What is to be done: build, or tell something; raises `UsageError`."""
    if given.has("check"):
        return Call("check")
    text = given.one("call") or "build"
    what, *fields = text.split(",")
    what = "check" if what == "lint" else what
    if what not in _CALLS:
        raise UsageError(f"--call {what!r} is not known", hint=f"it is {', '.join(_CALLS)}")
    said = dict(_pair(field) for field in fields)
    if not said.keys() <= {"format", "ignorestatus"}:
        raise UsageError(f"--call {text!r} has an unknown field", hint="it has format=json")
    if said.get("format", "text") not in ("json", "text", ""):
        raise UsageError(f"--call {text!r}: there is no format {said['format']!r}")
    return Call(what, said.get("format") == "json", said.get("ignorestatus") in ("true", "1"))


def with_environment(given: Parsed) -> Parsed:
    """The same, with what docker's own variable says of the progress where no flag does."""
    said = os.environ.get(_PROGRESS, "")
    if not said or given.one(PROGRESS.name) or given.has("quiet"):
        return given
    return Parsed({**given.values, PROGRESS.name: [said]}, given.operands)


def policy_of(given: Parsed) -> str:
    """When bases are pulled: docker's `--pull` is a switch, podman's takes a word."""
    text = given.one("pull") or "missing"
    return {"true": "always", "false": "missing"}.get(text, text)


def listed(texts: Sequence[str]) -> Iterator[str]:
    """The words of flags that hold several each, in lower case."""
    for text in texts:
        yield from (each.strip().lower() for each in text.split(",") if each.strip())


def _number(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 5):
        raise UsageError(f"--jobs {text!r} is no number of stages")
    return int(text)


def _arguments(texts: Sequence[str]) -> dict[str, str]:
    """Build arguments; one without a value has the environment's, or is none."""
    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if equals or key in os.environ:
            found[key] = value if equals else os.environ[key]
    return found


def _proxies() -> dict[str, str]:
    """Those of docker's configuration, where there is one."""
    folder = os.environ.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker")
    try:
        with open(os.path.join(folder, "config.json"), "rb") as file:
            data = file.read(_CONFIGURATION)
    except OSError:
        return {}
    if b'"proxies"' not in data:
        return {}
    from lamina.engine.proxies import proxies_of

    return proxies_of(data)


def _surroundings(given: Parsed) -> "Surroundings | None":
    if not any(given.all(name) for name in _AROUND):
        return None
    from lamina.cli.buildaround import around

    return around(given)


def _pair(text: str) -> tuple[str, str]:
    key, _, value = text.partition("=")
    return key, value
