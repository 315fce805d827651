"""`lamina tag`."""

from lamina.cli.flags import Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.session import engine

USAGE = Usage("SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]", "Give an image one more name", (), 2, 2)


def run(context: Context, given: Parsed) -> int:
    """Tag."""
    with engine(context) as opened:
        opened.images.tag(*given.operands)
    return 0
