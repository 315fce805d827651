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


_STREAMS = ("stdin", "stdout", "stderr")


def run(context: Context, given: Parsed) -> int:
    """Run to the end; errors before the start end with 125, 126 or 127."""
    needs_terminal = given.has("tty") and given.has("interactive") and not given.has("detach")
    if needs_terminal and not os.isatty(0):
        raise UsageError("the input device is not a terminal", hint="leave out --tty")
    sys.stdout.flush()
    try:
        stdio = _stdio(given)
        with engine(context) as opened:
            container = made(opened, given, auto_remove=given.has("rm"))
            if given.has("detach"):
                return _detached(container, given)
            try:
                return _foreground(container, given, stdio)
            finally:
                if given.has("rm"):
                    container.discard()
    except LaminaError as error:
        error.exit_code = error.exit_code if error.exit_code in (126, 127) else 125
        raise


def _foreground(container: Container, given: Parsed, stdio: Stdio) -> int:
    if container.settings.lasting.restarts or (given.has("tty") and not os.isatty(0)):
        return _shown(container, stdin=given.has("interactive") and not given.has("tty"))
    return in_foreground(lambda: container.running(stdio), tty=given.has("tty"))


def _stdio(given: Parsed) -> Stdio:
    """Ours, or those of them that --attach names."""
    stdin = 0 if given.has("interactive") or given.has("tty") else None
    wanted = {text.lower() for text in given.all("attach")}
    unknown = wanted - set(_STREAMS)
    if unknown:
        raise UsageError(
            f"there is no stream {min(unknown)[:40]!r}", hint=f"there are {', '.join(_STREAMS)}"
        )
    if not wanted:
        return Stdio(stdin, 1, 2)
    if given.has("detach"):
        raise UsageError("what runs by itself is attached to nothing", hint="leave out -a or -d")
    kept = [number if name in wanted else None for number, name in enumerate(_STREAMS)]
    return Stdio(kept[0] if kept[0] is not None else stdin, kept[1], kept[2])


def _shown(container: Container, *, stdin: bool) -> int:
    """With a terminal of its own where we have none, as on a build server; or kept by a monitor,
    which starts it again when it has ended.
    """
    from lamina.cli.attachment import follow  # rare

    with container.attached(stdin=stdin, last=True, start=Stdio(0, None, None)) as attached:
        code = follow(container, attached, stdin=stdin)
    return 0 if code is None else code


def _detached(container: Container, given: Parsed) -> int:
    try:
        container.start(stdio=Stdio(0, None, None))
    except BaseException:
        if given.has("rm"):
            container.discard()
        raise
    print(container.id)
    return 0
