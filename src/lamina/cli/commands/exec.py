"""`lamina exec`: its exit status is the command's."""

import os
import sys

from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.foreground import in_foreground
from lamina.cli.main import Context
from lamina.cli.session import engine
from lamina.cli.variables import environment
from lamina.containers.executing import Order
from lamina.errors import UsageError
from lamina.execution.spawned import QUIET, Stdio

USAGE = Usage(
    "[OPTIONS] CONTAINER COMMAND [ARG...]",
    "Execute one more command in a running container",
    (
        Flag("detach", "d", "", "do not wait for it"),
        Flag("detach-keys", "", "KEYS", "accepted for docker's sake"),
        Flag("env", "e", "KEY[=VALUE]", "an environment variable; without a value, yours", True),
        Flag("env-file", "", "FILE", "a file of environment variables", True),
        Flag("interactive", "i", "", "hand standard input on"),
        Flag("privileged", "", "", "give it every right that you have"),
        Flag("tty", "t", "", "give it a terminal"),
        Flag("user", "u", "NAME|UID[:GROUP|GID]", "run as"),
        Flag("workdir", "w", "DIR", "start in"),
    ),
    2,
    None,
    True,
)


def run(context: Context, given: Parsed) -> int:
    """Execute it; 126 and 127 for a command that cannot be, 1 for a container that does not run."""
    detach = given.has("detach")
    needs_terminal = given.has("tty") and given.has("interactive") and not detach
    if needs_terminal and not os.isatty(0):
        raise UsageError("the input device is not a terminal", hint="leave out --tty")
    name, *command = given.operands
    order = Order(
        tuple(command),
        tuple(environment(given)),
        given.one("workdir"),
        given.one("user"),
        tty=given.has("tty"),
        privileged=given.has("privileged"),
        detach=detach,
    )
    sys.stdout.flush()
    with engine(context) as opened:
        container = opened.containers.get(name)
        if detach:
            with container.executed(order, QUIET) as process:
                return process.wait().code
        is_typed = given.has("tty") and os.isatty(0)
        stdin = 0 if given.has("interactive") or is_typed else None
        return in_foreground(
            lambda: container.executed(order, Stdio(stdin, 1, 2)), tty=given.has("tty")
        )
