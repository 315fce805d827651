"""A build's events as lines."""

import io

from lamina.cli.progress import Built
from lamina.cli.progresslines import Plain
from lamina.values.digest import ImageID
from lamina.values.events import (
    Caution,
    CheckWarned,
    Notice,
    StepCached,
    StepDone,
    StepErred,
    StepOutput,
    StepStarted,
)

EVIL = "\x1b[2Jevil\x1b]0;title\x07"


class Screen(io.StringIO):
    def isatty(self):
        return True


def said(out):
    """All that can be said, with something in each that would steer a terminal."""
    plain = Plain(out, explains=True)
    with plain.running():
        for event in (
            StepStarted(1, 2, f"RUN {EVIL}", EVIL, 1, 1, 2),
            StepOutput(1, 1, EVIL.encode()),
            StepDone(1, 1.0, 1, f"{EVIL} changed"),
            StepCached(2, EVIL),
            StepErred(1, 1.0, EVIL, EVIL, EVIL),
            Notice(EVIL),
            Caution(EVIL),
            CheckWarned(EVIL, EVIL, 1, EVIL),
        ):
            plain.sink(event)
    plain.finish(Built(ImageID("sha256:" + "0" * 64), [EVIL], lambda: [EVIL]))
    return out.getvalue()


def test_nothing_that_is_named_steers_a_terminal():
    lines = said(Screen()).split("\n")
    assert all(line.isprintable() for line in lines)
    assert sum("evil" in line for line in lines) > 10


def test_a_file_gets_what_was_said_as_it_is():
    assert f"{EVIL} changed" in said(io.StringIO())
