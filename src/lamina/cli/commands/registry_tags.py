"""`lamina registry tags`."""

from lamina.cli.flags import Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.session import engine
from lamina.cli.transfers import TLS_VERIFY, verifies_tls
from lamina.values.reference import Reference

USAGE = Usage("[OPTIONS] NAME", "List the tags of a repository", (TLS_VERIFY,), 1, 1)


def run(context: Context, given: Parsed) -> int:
    """Print them, a line each."""
    name = Reference.parse(given.operands[0])
    with engine(context) as opened:
        for tag in opened.registries(verify_tls=verifies_tls(given)).tags(name):
            print(tag)
    return 0
