"""`python -m lamina` and the `lamina` command."""

import gc
import os
import sys
from typing import NoReturn

from lamina.cli.main import main

_SELDOM = 50_000  # new objects between two looks for cycles, of which this code makes few


def run() -> NoReturn:
    """Run the command line and end the process with its status.

    The interpreter is not taken apart first: that frees, one by one, what the kernel is about to
    free at once, and takes a tenth of a quick command's time. All that was held is given up by
    then, and what was written is flushed. Looking for cycles among a context's files is a
    twentieth of a build's time, and finds none.
    """
    gc.set_threshold(_SELDOM)
    status = main()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            pass  # told by `main`, or nobody is there to be told
    os._exit(status)


if __name__ == "__main__":
    run()
