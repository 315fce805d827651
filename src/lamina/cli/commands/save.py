"""`lamina save`."""

from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.session import engine
from lamina.cli.streams import written

USAGE = Usage(
    "[OPTIONS] IMAGE [IMAGE...]",
    "Write images as one archive that docker, podman and skopeo read",
    (
        Flag("format", "", "FORMAT", "docker (plain layers) or oci (a layout with manifests)"),
        Flag("output", "o", "FILE", "write there instead of to standard output"),
    ),
    1,
    None,
)


def run(context: Context, given: Parsed) -> int:
    """Save."""
    with engine(context) as opened, written(given.one("output")) as write:
        opened.images.save(given.operands, write, format=_form(given))
    return 0


def _form(given: Parsed) -> str:
    """The format that was asked for; podman's names for the two will do."""
    asked = given.one("format") or "docker"
    return asked.removesuffix("-archive")
