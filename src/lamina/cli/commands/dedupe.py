"""`lamina dedupe`."""

from lamina.cli.flags import Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.session import engine
from lamina.values.size import human

USAGE = Usage(
    "",
    "Let equal files of different layers share their blocks, where the file system can (XFS,\n"
    "Btrfs). No layer changes; what is shared costs disk once",
    (),
    0,
    0,
)


def run(context: Context, given: Parsed) -> int:
    """Do it, and say what came of it."""
    with engine(context) as opened:
        done = opened.system.dedupe()
    print(f"{done.files:,} files share {human(done.size, 4)} now; {done.already:,} did before")
    return 0
