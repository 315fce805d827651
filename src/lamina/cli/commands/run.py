"""`lamina run`: in the foreground, its exit status is the command's; or detached."""

import os
import sys

from lamina.cli.containerflags import FLAGS, RUN_FLAGS, made
from lamina.cli.flags import Parsed, Usage
from lamina.cli.foreground import in_foreground
from lamina.cli.main import Context
from lamina.cli.session import engine
from lamina.engine.container import Container
from lamina.errors import LaminaError, UsageError
from lamina.execution.run import Stdio

USAGE = Usage(
    "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    "Make a container and run a command in it, in the foreground or (-d) by itself",
    (*FLAGS, *RUN_FLAGS),
    1,
    None,
    True,
)


def run(context: Context, given: Parsed) -> int:
    """Run to the end; errors before the start end with 125, 126 or 127."""
    if given.has("tty") and not given.has("detach") and not os.isatty(0):
        raise UsageError("the input device is not a terminal", hint="leave out --tty")
    sys.stdout.flush()
    try:
        with engine(context) as opened:
            container = made(opened, given, auto_remove=given.has("rm"))
            if given.has("detach"):
                return _detached(container, given)
            try:
                return _foreground(container, given)
            finally:
                if given.has("rm"):
                    container.discard()
    except LaminaError as error:
        error.exit_code = error.exit_code if error.exit_code in (126, 127) else 125
        raise


def _foreground(container: Container, given: Parsed) -> int:
    stdin = 0 if given.has("interactive") or given.has("tty") else None
    return in_foreground(lambda: container.running(Stdio(stdin, 1, 2)), tty=given.has("tty"))


def _detached(container: Container, given: Parsed) -> int:
    try:
        container.start(stdio=Stdio(0, None, None))
    except BaseException:
        if given.has("rm"):
            container.discard()
        raise
    print(container.id)
    return 0
