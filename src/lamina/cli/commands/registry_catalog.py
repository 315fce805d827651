"""`lamina registry catalog`."""

from lamina.cli.flags import Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.session import engine
from lamina.cli.transfers import TLS_VERIFY, verifies_tls

USAGE = Usage(
    "[OPTIONS] REGISTRY", "List the repositories of a registry, where it tells", (TLS_VERIFY,), 1, 1
)


def run(context: Context, given: Parsed) -> int:
    """Print them, a line each."""
    with engine(context) as opened:
        for name in opened.registries(verify_tls=verifies_tls(given)).catalog(given.operands[0]):
            print(name)
    return 0
