"""`lamina sbom ls`."""

from lamina.cli.commands.sbom import ABOUT
from lamina.cli.flags import Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.session import engine
from lamina.cli.tables import table
from lamina.cli.transfers import verifies_tls
from lamina.values.reference import Reference

USAGE = Usage(
    "[OPTIONS] NAME[:TAG|@DIGEST]", "List the SBOMs that a registry keeps for an image", ABOUT, 1, 1
)


def run(context: Context, given: Parsed) -> int:
    """Print a table of them."""
    from lamina.engine.sboms import Sboms

    name = Reference.parse(given.operands[0]).with_default_tag()
    with engine(context) as opened:
        sboms = Sboms(opened.registries(verify_tls=verifies_tls(given)))
        found = sboms.list(name, kind=given.one("artifact-type"), platform=given.one("platform"))
    rows = [(str(each.digest), _printable(each.type)) for each in found]
    print(table(("DIGEST", "TYPE"), rows), end="")
    return 0


def _printable(text: str) -> str:
    return "".join(each if each.isprintable() else "?" for each in text)[:120]
