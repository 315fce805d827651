"""`python -m lamina` and the `lamina` command."""

import os
import sys
from typing import NoReturn

from lamina.cli.main import main


def run() -> NoReturn:
    """Run the command line and end the process with its status.

    The interpreter is not taken apart first: that frees, one by one, what the kernel is about to
    free at once, and takes a tenth of a quick command's time. All that was held is given up by
    then, and what was written is flushed.
    """
    status = main()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            pass  # told by `main`, or nobody is there to be told
    os._exit(status)


if __name__ == "__main__":
    run()
