"""`lamina build`."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.progress import Plain
from lamina.cli.session import engine
from lamina.cli.streams import source_date_epoch, written_file
from lamina.cli.transfers import TLS_VERIFY, verifies_tls
from lamina.errors import StepFailed, UsageError
from lamina.values.events import Sink, ignore

if TYPE_CHECKING:  # only a build that has one loads it
    from lamina.build.secrets import Secret

USAGE = Usage(
    "[OPTIONS] PATH|-",
    "Build an image from a Dockerfile",
    (
        Flag("allow", "", "RIGHT", "let RUN ask for more: security.insecure", True),
        Flag("build-arg", "", "KEY[=VALUE]", "the value of an ARG; without a value, yours", True),
        Flag("build-context", "", "NAME=CONTEXT", "a directory or image for that name", True),
        Flag("file", "f", "FILE", "the Dockerfile (- is standard input)"),
        Flag("force-rm", "", "", "accepted for docker's sake"),
        Flag("iidfile", "", "FILE", "write the image's ID there"),
        Flag("label", "", "KEY=VALUE", "a label of the image", True),
        Flag("network", "", "MODE", "of RUN: host (the default, for now) or none"),
        Flag("no-cache", "", "", "carry out every step anew"),
        Flag("progress", "", "KIND", "plain or quiet"),
        Flag(
            "pull",
            "",
            "WHEN",
            "pull bases always; or when missing (the default), newer, never",
            bare="always",
        ),
        Flag("quiet", "q", "", "print only the image's ID"),
        Flag("rm", "", "", "accepted for docker's sake"),
        Flag("secret", "", "SECRET", "of RUN --mount=type=secret: id=NAME,src=FILE|env=NAME", True),
        Flag("ssh", "", "AGENT", "of RUN --mount=type=ssh: default, or ID=SOCKET", True),
        Flag("tag", "t", "NAME[:TAG]", "a name for the image", True),
        Flag("target", "", "STAGE", "build up to that stage"),
        TLS_VERIFY,
    ),
    1,
    1,
)


def run(context: Context, given: Parsed) -> int:
    """Build, and say what came of it."""
    path = given.operands[0]
    file = given.one("file")
    text = _standard_input(path, file)
    quiet = given.has("quiet") or given.one("progress") == "quiet"
    with engine(context) as opened, _output_of_failures(quiet):
        progress = Plain(sys.stderr)
        sink: Sink = ignore if quiet else progress.show
        image = opened.images.build(
            None if path == "-" else path,
            dockerfile=None if text is not None else file,
            dockerfile_text=text,
            tags=given.all("tag"),
            build_args=dict(_argument(each) for each in given.all("build-arg")),
            target=given.one("target"),
            labels=dict(_pair(each) for each in given.all("label")),
            network=given.one("network") or "default",
            no_cache=given.has("no-cache"),
            source_date_epoch=source_date_epoch(os.environ),
            pull=_policy(given.one("pull")),
            verify_tls=verifies_tls(given),
            secrets=dict(_secret(each) for each in given.all("secret")),
            agents=dict(_agent(each) for each in given.all("ssh")),
            allow=given.all("allow"),
            contexts=dict(_pair(each) for each in given.all("build-context")),
            events=sink,
        )
        if not quiet:
            progress.finish(image.id, image.tags)
    iidfile = given.one("iidfile")
    if iidfile:
        with written_file(iidfile) as write:
            write(image.id.encode("ascii"))
    if quiet:
        print(image.id)
    return 0


@contextmanager
def _output_of_failures(quiet: bool) -> Iterator[None]:
    """A quiet build shows what a command wrote when it fails, and only then."""
    try:
        yield
    except StepFailed as error:
        if quiet and error.details:
            print(error.details, file=sys.stderr)
        raise


def _standard_input(path: str, file: str | None) -> bytes | None:
    if path != "-" and file != "-":
        return None
    if sys.stdin.isatty():
        raise UsageError("standard input is a terminal, and a Dockerfile is expected there")
    return sys.stdin.buffer.read(4 << 20)


def _policy(text: str | None) -> str:
    """docker's `--pull` is a switch, podman's takes a word."""
    return {"true": "always", "false": "missing"}.get(text or "", text or "missing")


def _argument(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    return key, value if equals else os.environ.get(key, "")


def _secret(text: str) -> tuple[str, "Secret"]:
    from lamina.engine.building import parse_secret

    return parse_secret(text, os.environ)


def _agent(text: str) -> tuple[str, str]:
    from lamina.engine.building import parse_agent

    return parse_agent(text, os.environ)


def _pair(text: str) -> tuple[str, str]:
    key, _, value = text.partition("=")
    return key, value
