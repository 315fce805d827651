"""`lamina start`."""

import sys

from lamina.cli.attachment import follow
from lamina.cli.each import for_each
from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.session import engine
from lamina.engine import Engine
from lamina.errors import UsageError
from lamina.execution.spawned import Stdio
from lamina.values.detachkeys import DetachKeys

USAGE = Usage(
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Start containers that were made or have ended",
    (
        Flag("attach", "a", "", "show what it writes until it ends; its exit status is ours"),
        Flag("detach-keys", "", "KEYS", "what leaves it running when typed (ctrl-p,ctrl-q)"),
        Flag("interactive", "i", "", "hand standard input on"),
    ),
    1,
    None,
)


def run(context: Context, given: Parsed) -> int:
    """Start each; one alone may be attached to."""
    is_attached = given.has("attach") or given.has("interactive")
    if is_attached and len(given.operands) > 1:
        raise UsageError("only one container can be attached to")
    DetachKeys(given.one("detach-keys"))  # a wrong one is told before anything starts
    with engine(context) as opened:
        if is_attached:
            return _attached(opened, given)

        def start(name: str) -> None:
            opened.containers.get(name).start()
            print(name)

        return for_each(given.operands, start)


def _attached(opened: Engine, given: Parsed) -> int:
    container = opened.containers.get(given.operands[0])
    stdin = given.has("interactive") and container.settings.stdin_open
    sys.stdout.flush()
    with container.attached(stdin=stdin, last=True, start=Stdio(0, None, None)) as attached:
        container.reload()
        code = follow(container, attached, stdin=stdin, keys=given.one("detach-keys"))
    return 0 if code is None else code
