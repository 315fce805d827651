"""`lamina cp`: between a container and this machine."""

import sys

from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.session import engine
from lamina.cli.streams import stdin_stream, written
from lamina.engine.copying import copy_in, copy_out
from lamina.errors import UsageError

USAGE = Usage(
    "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-  |  SRC_PATH|- CONTAINER:DEST_PATH",
    "Copy files between a container and this machine; - is a tar on standard input or output",
    (
        Flag("archive", "a", "", "keep owners"),
        Flag("follow-link", "L", "", "copy what a link points at"),
        Flag("quiet", "q", "", "accepted for docker's sake"),
    ),
    2,
    2,
)


def run(context: Context, given: Parsed) -> int:
    """Copy."""
    source, target = given.operands
    from_container, to_container = _split(source), _split(target)
    if (from_container is None) == (to_container is None):
        raise UsageError("one side must be CONTAINER:PATH and the other a path of this machine")
    with engine(context) as opened:
        if from_container is not None:
            container = opened.containers.get(from_container[0])
            if target == "-":
                with written(target) as write:
                    container.get_archive(from_container[1], write)
            else:
                keep = given.has("archive")
                copy_out(container, from_container[1], target, keep_owner=keep)
        elif to_container is not None:
            container = opened.containers.get(to_container[0])
            if source == "-":
                container.put_archive(to_container[1], stdin_stream(sys.stdin.buffer))
            else:
                copy_in(
                    container,
                    source,
                    to_container[1],
                    keep_owner=given.has("archive"),
                    follow=given.has("follow-link"),
                )
    return 0


def _split(text: str) -> tuple[str, str] | None:
    if text.startswith(("/", ".", "-")) or ":" not in text:
        return None
    name, _, path = text.partition(":")
    return name, path or "/"
