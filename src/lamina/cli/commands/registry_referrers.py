"""`lamina registry referrers`."""

from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.session import engine
from lamina.cli.tables import table
from lamina.cli.transfers import TLS_VERIFY, verifies_tls
from lamina.values.reference import Reference

USAGE = Usage(
    "[OPTIONS] NAME[:TAG|@DIGEST]",
    "List what refers to an image at its registry: signatures, SBOMs, attestations",
    (Flag("artifact-type", "", "TYPE", "only what is of that type"), TLS_VERIFY),
    1,
    1,
)


def run(context: Context, given: Parsed) -> int:
    """Print a table of them."""
    name = Reference.parse(given.operands[0]).with_default_tag()
    with engine(context) as opened:
        registries = opened.registries(verify_tls=verifies_tls(given))
        found = registries.referrers(name, given.one("artifact-type") or "")
    rows = [(str(each.digest), _kind(each.artifact_type or each.media_type)) for each in found]
    print(table(("DIGEST", "TYPE"), rows), end="")
    return 0


def _kind(text: str) -> str:
    """A type as a registry says it, which is not believed to be printable."""
    return "".join(each if each.isprintable() else "?" for each in text)[:120]
