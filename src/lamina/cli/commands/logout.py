"""`lamina logout`."""

from lamina.cli.flags import Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.session import engine

USAGE = Usage("[REGISTRY]", "Forget who one is at a registry", (), 0, 1)


def run(context: Context, given: Parsed) -> int:
    """Forget it, and say so."""
    domain = given.operands[0] if given.operands else "docker.io"
    with engine(context) as opened:
        known = opened.registries().logout(domain)
    print(f"Removed the login for {domain}" if known else f"Not logged in to {domain}")
    return 0
