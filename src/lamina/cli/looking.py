"""Images that a command looks into: of the store, or anywhere else that `copy` takes one from."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypedDict

from lamina.archive.entry import Write
from lamina.cli.flags import Flag, Parsed
from lamina.cli.progressflag import can_be_drawn_on
from lamina.cli.session import warn
from lamina.cli.transfers import TLS_VERIFY, drawn, verifies_tls
from lamina.engine import Engine
from lamina.engine.inside import Inside
from lamina.values.events import Sink

if TYPE_CHECKING:  # what speaks to registries is loaded by what asks one
    from lamina.engine.registries import Registries

PLATFORM = Flag("platform", "", "OS/ARCH", "of an image elsewhere, that platform's")
ELSEWHERE = (PLATFORM, TLS_VERIFY)
WHERE = (
    "IMAGE may lie elsewhere: docker://, docker-archive:, oci:, oci-archive:, dir:,\n"
    "docker:ROOT:NAME, containers-storage:ROOT:NAME"
)


def look(opened: Engine, given: Parsed, name: str) -> Inside:
    """The image to look into; one that is elsewhere is read now, with progress for a terminal."""
    with drawn(sys.stderr) as shown:
        return opened.images.look(name, **_way(opened, given, shown.show))


def read(opened: Engine, given: Parsed, name: str, paths: Sequence[str], out: Write) -> None:
    """Write what files of an image hold, wherever it lies; progress ends before the first byte."""
    with drawn(sys.stderr) as shown:

        def write(data: bytes) -> object:
            shown.end()
            return out(data)

        opened.images.read(name, *paths, out=write, **_way(opened, given, shown.show))


class _Way(TypedDict):
    platform: str | None
    registries: "Registries | None"
    events: Sink


def _way(opened: Engine, given: Parsed, draws: Sink) -> _Way:
    return {
        "platform": given.one(PLATFORM.name),
        "registries": None if verifies_tls(given) else opened.registries(verify_tls=False),
        "events": draws if can_be_drawn_on(sys.stderr) else warn,
    }
