"""Images that a command looks into: of the store, or anywhere else that `copy` takes one from."""

import sys

from lamina.cli.flags import Flag, Parsed
from lamina.cli.session import warn
from lamina.cli.transfers import TLS_VERIFY, Transfers, verifies_tls
from lamina.engine import Engine
from lamina.engine.inside import Inside

PLATFORM = Flag("platform", "", "OS/ARCH", "of an image elsewhere, that platform's")
ELSEWHERE = (PLATFORM, TLS_VERIFY)
WHERE = (
    "IMAGE may lie elsewhere: docker://, docker-archive:, oci:, oci-archive:, dir:,\n"
    "docker:ROOT:NAME, containers-storage:ROOT:NAME"
)


def look(opened: Engine, given: Parsed, name: str) -> Inside:
    """The image to look into; one that is elsewhere is read now, with progress for a terminal."""
    shown = Transfers(sys.stderr).show if sys.stderr.isatty() else warn
    registries = None if verifies_tls(given) else opened.registries(verify_tls=False)
    return opened.images.look(
        name, platform=given.one(PLATFORM.name), registries=registries, events=shown
    )
