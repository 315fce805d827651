"""`lamina logs`."""

import os
import sys
import time

from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.session import engine
from lamina.containers.logs import LogLine
from lamina.errors import UsageError
from lamina.fs.atomic import write_all
from lamina.values.moments import moment

USAGE = Usage(
    "[OPTIONS] CONTAINER",
    "Show what a container wrote while it ran detached",
    (
        Flag("follow", "f", "", "go on until it ends"),
        Flag("since", "", "TIME", "from then on: 2026-01-31T12:00:00, or how long ago: 90s, 1h30m"),
        Flag("tail", "n", "NUMBER", "so many lines from the end (all)"),
        Flag("timestamps", "t", "", "show when each line was written"),
        Flag("until", "", "TIME", "before then"),
    ),
    1,
    1,
)


def run(context: Context, given: Parsed) -> int:
    """Show: what it wrote to standard error goes to ours."""
    now = time.time()
    since, until = (moment(given.one(each), now) for each in ("since", "until"))
    with engine(context) as opened:
        container = opened.containers.get(given.operands[0])
        lines = container.logs(
            follow=given.has("follow"), tail=_tail(given.one("tail")), since=since, until=until
        )
        for line in lines:
            _show(line, timestamps=given.has("timestamps"))
        if container.started_at is not None and not os.path.exists(container.log_path):
            print(
                f"lamina: what {container.name} wrote in the foreground was shown there",
                file=sys.stderr,
            )
    return 0


def _show(line: LogLine, *, timestamps: bool) -> None:
    head = f"{line.time} ".encode() if timestamps else b""
    write_all(2 if line.stream == "stderr" else 1, head + line.data)


def _tail(text: str | None) -> int | None:
    if text is None or text == "all":
        return None
    if not text.isdecimal():
        raise UsageError(f"--tail {text!r} is no number of lines")
    return int(text)
