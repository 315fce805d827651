"""`lamina sbom attach`."""

import sys

from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.session import engine
from lamina.cli.transfers import TLS_VERIFY, verifies_tls
from lamina.errors import from_oserror
from lamina.values.reference import Reference

USAGE = Usage(
    "[OPTIONS] NAME[:TAG|@DIGEST] FILE|-",
    "Keep an SBOM beside an image at its registry, as an OCI artifact that refers to it",
    (
        Flag("artifact-type", "", "TYPE", "its media type, where the file does not tell it"),
        Flag("platform", "", "OS/ARCH", "of an index, for that platform's image, not the whole"),
        Flag("quiet", "q", "", "print only the artifact's digest"),
        TLS_VERIFY,
    ),
    2,
    2,
)
_MOST = 1 << 30  # bytes that are read of a file before it is too large


def run(context: Context, given: Parsed) -> int:
    """Attach it, and say what it is known by."""
    from lamina.engine.sboms import Sboms

    name = Reference.parse(given.operands[0]).with_default_tag()
    content = _content(given.operands[1])
    with engine(context) as opened:
        attached = Sboms(opened.registries(verify_tls=verifies_tls(given))).attach(
            name, content, kind=given.one("artifact-type"), platform=given.one("platform")
        )
    if given.has("quiet"):
        print(attached.digest)
        return 0
    print(f"Digest: {attached.digest}")
    print(f"Status: Attached {attached.type} to {name.familiar}")
    return 0


def _content(path: str) -> bytes:
    if path == "-":
        return sys.stdin.buffer.read(_MOST)
    try:
        with open(path, "rb") as file:
            return file.read(_MOST)
    except OSError as error:
        raise from_oserror(error, "reading", path) from error
