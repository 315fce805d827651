"""`lamina copy`."""

from typing import TYPE_CHECKING

from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.progressflag import JSON, PROGRESS, is_quiet
from lamina.cli.session import engine
from lamina.cli.transfers import transferring
from lamina.engine import Engine

if TYPE_CHECKING:
    from lamina.engine.registries import Registries

_ANY = "=false: take any certificate, and a registry without TLS"
USAGE = Usage(
    "[OPTIONS] SOURCE TARGET",
    "Copy an image between registries, archives, layouts and stores (docker://, oci:,\n"
    "oci-archive:, docker-archive:, dir:, lamina:; to read also docker:, containers-storage:)",
    (
        Flag("all", "a", "", "all images of an index instead of one platform's"),
        JSON,
        Flag("platform", "", "OS/ARCH", "the image for that platform instead of this machine's"),
        PROGRESS,
        Flag("quiet", "q", "", "print only the digest"),
        Flag("src-tls-verify", "", "", f"{_ANY}, to read from"),
        Flag("dest-tls-verify", "", "", f"{_ANY}, to write to"),
    ),
    2,
    2,
)


def run(context: Context, given: Parsed) -> int:
    """Copy, and say what the target has now."""
    source, target = given.operands
    quiet = is_quiet(given)
    with engine(context) as opened, transferring(given) as events:
        copied = opened.images.copy(
            source,
            target,
            platform=given.one("platform"),
            all_platforms=given.has("all"),
            sources=_registries(opened, given, "src-tls-verify"),
            targets=_registries(opened, given, "dest-tls-verify"),
            events=events,
        )
    if quiet:
        print(copied.digest or copied.image)
        return 0
    if copied.image is not None:
        print(f"Image ID: {copied.image}")
    if copied.digest is not None:
        print(f"Digest: {copied.digest}{'' if copied.kept else ' (of a manifest made here)'}")
    print(f"Status: Copied {source} to {target}")
    return 0


def _registries(opened: Engine, given: Parsed, flag: str) -> "Registries | None":
    """How registries are spoken to at one end; None for as usual."""
    return opened.registries(verify_tls=False) if given.one(flag) == "false" else None
