"""A build's plain progress: what its lines say, and that no step's output fills the memory."""

import io

import pytest

from lamina.cli.progresslines import Plain
from lamina.values.events import StepDone, StepErred, StepOutput, StepStarted


def written(*events, times=()):
    """What is written of events; the clock says the times one after the other, then the last."""
    said = list(times) or [0.0]
    out = io.StringIO()
    shown = Plain(out, clock=lambda: said.pop(0) if len(said) > 1 else said[0])
    with shown.running():
        for event in events:
            shown.show(event)
    return out.getvalue()


STARTED = StepStarted(2, 9, "RUN x", "", 2, 1, 1)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.07249, "0.072"),
        (9.9994, "9.999"),
        (12.346, "12.35"),
        (99.9, "99.90"),
        (3600.04, "3600.0"),
    ],
)
def test_output_stands_beside_the_seconds_since_its_step_began(seconds, shown):
    text = written(STARTED, StepOutput(2, 1, b"hi\n"), times=(5.0, 5.0 + seconds))
    assert text == f"#2 [1/1] RUN x\n#2 {shown} hi\n"


def test_lines_are_whole_however_they_come():
    pieces = (b"a", b"b\nc\r", b"\n12%\r50%", b"\r100%\r\nend")
    text = written(STARTED, *(StepOutput(2, 1, each) for each in pieces), StepDone(2, 1.0, 0, ""))
    lines = [line.removeprefix("#2 0.000 ") for line in text.splitlines()]
    assert lines[1:] == ["ab", "c", "100%", "end", "#2 DONE 1.0s"]


def test_a_line_without_end_does_not_wait_for_it():
    text = written(STARTED, *[StepOutput(2, 1, b"x" * 10_000)] * 20)
    assert [len(line) for line in text.splitlines()[1:]] == [len("#2 0.000 ") + 70_000] * 2


def test_what_a_failed_step_wrote_last_stands_at_the_end():
    text = written(
        STARTED,
        StepStarted(3, 9, "ENV a=b", "docs", 2),
        StepErred(2, 1.0, "it failed", "excerpt", "one\ntwo"),
        StepErred(3, 1.0, "so did it"),
        StepOutput(3, 1, b"later\n"),
    )
    assert text == (
        "#2 [1/1] RUN x\n#2 ERROR: it failed\n#3 [docs] ENV a=b\n#3 ERROR: so did it\n"
        "#3 0.000 later\n------\n > [1/1] RUN x:\none\ntwo\n------\n"
    )
