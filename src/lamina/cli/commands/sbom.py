"""`lamina sbom`: what a registry keeps for an image; it has commands of its own, too."""

from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.session import engine
from lamina.cli.streams import written
from lamina.cli.transfers import TLS_VERIFY, verifies_tls
from lamina.engine.sboms import Attached
from lamina.errors import ImageNotFound
from lamina.values.reference import Reference

ABOUT = (
    Flag("artifact-type", "", "TYPE", "only what is of that media type"),
    Flag("platform", "", "OS/ARCH", "of an index, what is kept for that platform's image"),
    TLS_VERIFY,
)
USAGE = Usage(
    "[OPTIONS] NAME[:TAG|@DIGEST] | attach | ls | make",
    "Show the SBOM that a registry keeps for an image: an OCI artifact that refers to it",
    (
        Flag("digest", "", "DIGEST", "the one of several with that digest, or its beginning"),
        Flag("output", "o", "FILE", "write there instead of to standard output"),
        *ABOUT,
    ),
    1,
    1,
)
_FEWEST = 6  # digits of a digest that are taken for it


def run(context: Context, given: Parsed) -> int:
    """Write it as it is kept."""
    from lamina.engine.sboms import Sboms

    name = Reference.parse(given.operands[0]).with_default_tag()
    with engine(context) as opened:
        sboms = Sboms(opened.registries(verify_tls=verifies_tls(given)))
        kind, platform = given.one("artifact-type"), given.one("platform")
        found = sboms.list(name, kind=kind, platform=platform)
        content = sboms.read(name, _chosen(found, name, given.one("digest")))
    with written(given.one("output"), "") as write:
        write(content)
    return 0


def _chosen(found: list[Attached], name: Reference, wanted: str | None) -> Attached:
    if wanted is not None:
        digits = wanted.removeprefix("sha256:")
        found = [
            each for each in found if len(digits) >= _FEWEST and each.digest.hex.startswith(digits)
        ]
    if not found:
        raise ImageNotFound(
            f"no SBOM is kept for {name.familiar}",
            hint="`lamina sbom make` makes one of an image's packages",
        )
    if len(found) > 1:
        listed = ", ".join(each.digest.short for each in found[:8])
        raise ImageNotFound(
            f"{len(found)} SBOMs are kept for {name.familiar}", hint=f"choose --digest: {listed}"
        )
    return found[0]
