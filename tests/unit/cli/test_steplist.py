"""The live list of a build's steps: from events to the lines of a screen of any size."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.cli.cells import width
from lamina.cli.steplist import StepList, last_words
from lamina.values.events import (
    LayerProgress,
    StepCached,
    StepCanceled,
    StepDone,
    StepErred,
    StepOutput,
    StepStarted,
)


def started(number, text, stage="", total=9, *, place=None):
    """A step that begins; its place within its stage is its number unless it is given."""
    return StepStarted(
        number, total, text, stage, number, number if place is None else place, total
    )


def listed(*events, explains=False):
    """A list that began 10 s ago and has taken in events, each a second later."""
    made = StepList(0.0, explains=explains)
    for second, event in enumerate(events):
        made.take(event, float(second))
    return made


def drawn(lines):
    return "\n".join(line.text for line in lines)


TWO_STAGES = (
    started(1, "FROM debian AS build", "build"),
    StepDone(1, 0.01, 0, "the target"),
    started(2, "COPY . /src", "build"),
    StepCached(2, "nothing it reads changed"),
    started(3, "RUN make", "build"),
    started(5, "FROM debian AS docs", "docs"),
    StepDone(5, 0.0, 0, "stage 2 reads from it"),
    started(6, "RUN sphinx-build", "docs"),
    StepOutput(3, 1, b"cc -c a.c\ncc -c b.c\n\x1b[2Jcc -c"),
    StepOutput(6, 1, "漢字\n".encode()),
)


def test_two_stages_go_on_side_by_side():
    shown = listed(*TWO_STAGES)
    assert drawn(shown.screen(48, 24, 10.0)) == (
        "[+] Building 10.0s (3/9)\n"
        " => [build 1/9] FROM debian AS build        0.0s\n"
        " => CACHED [build 2/9] COPY . /src          0.0s\n"
        " => [build 3/9] RUN make                    6.0s\n"
        " => => # cc -c a.c\n"
        " => => # cc -c b.c\n"
        " => => # cc -c\n"
        " => [docs 5/9] FROM debian AS docs          0.0s\n"
        " => [docs 6/9] RUN sphinx-build             3.0s\n"
        " => => # 漢字"
    )


CONFIG = (
    started(3, "RUN make", place=2),
    StepDone(3, 0.5, 0, ""),
    started(4, "ENV A=b", "docs", place=0),
    StepDone(4, 0.0, 0, ""),
    started(5, "EXPOSE x", place=0),
)


def test_what_only_edits_the_config_has_no_line():
    rows = listed(*CONFIG).screen(48, 24, 4.0)
    assert drawn(rows) == (
        "[+] Building 4.0s (2/9)\n => [2/9] RUN make                          0.5s"
    )
    assert len(listed(*CONFIG).whole(48, 4.0)) == 2


def test_it_has_one_when_it_fails_or_all_is_explained():
    failed = (*CONFIG, StepErred(5, 0.0, "invalid port"))
    whole = [line.text.rstrip(" 0.s") for line in listed(*failed).whole(48, 9.0)]
    assert whole[1:] == [" => [2/9] RUN make                          0.5", " => ERROR EXPOSE x"]
    whole = [line.text for line in listed(*CONFIG, explains=True).whole(48, 9.0)]
    assert [line[:24].rstrip() for line in whole[2:]] == [" => [docs] ENV A=b", " => EXPOSE x"]


def test_places_of_a_stage_of_many_stand_one_below_the_other():
    one, two = started(1, "FROM a", "x", 12), started(10, "RUN b", "x", 12)
    whole = [line.text for line in listed(one, two).whole(24, 9.0)]
    assert whole[1:] == [" => [x  1/12] FROM… 9.0s", " => [x 10/12] RUN b 8.0s"]


def test_what_has_ended_is_one_line():
    shown = listed(
        *TWO_STAGES, StepDone(6, 2.5, 10, ""), StepErred(3, 7.0, "exit status 2"), StepCanceled(6)
    )
    text = drawn(shown.screen(48, 24, 20.0))
    assert " => ERROR [build 3/9] RUN make              7.0s" in text
    assert "cc" not in text
    assert text.startswith("[+] Building 20.0s (3/9) FAILED")
    assert [line.kind for line in shown.screen(48, 24, 20.0)][1:4] == ["done", "done", "failed"]
    (failed,) = shown.failed
    assert last_words(failed) == [
        "------",
        " > [build 3/9] RUN make:",
        "cc -c a.c",
        "cc -c b.c",
        "cc -c",
        "------",
    ]


def test_a_build_that_is_given_up_says_so():
    shown = listed(*TWO_STAGES)
    shown.given_up(12.0)
    text = drawn(shown.whole(48, 12.0))
    assert text.startswith("[+] Building 12.0s (3/9) CANCELED")
    assert " => CANCELED [docs 6/9] RUN sphinx-build    5.0s" in text


def test_all_that_was_done_is_finished():
    shown = listed(started(1, "FROM scratch", total=1), StepDone(1, 0.0, 0, ""))
    assert drawn(shown.whole(60, 3.0)).startswith("[+] Building 3.0s (1/1) FINISHED")


def test_reasons_are_told_when_asked_for():
    told = listed(started(1, "COPY a /", total=1), StepCached(1, "nothing changed"), explains=True)
    assert " => CACHED [1/1] COPY a /: nothing changed" in drawn(told.whole(80, 1.0))


def test_on_a_short_screen_what_ended_long_ago_goes_first():
    shown = listed(*TWO_STAGES)
    assert drawn(shown.screen(40, 6, 10.0)) == (
        "[+] Building 10.0s (3/9)\n"
        " => [build 3/9] RUN make            6.0s\n"
        " => => # cc -c b.c\n"
        " => => # cc -c\n"
        " => [docs 6/9] RUN sphinx-build     3.0s\n"
        " => => # 漢字"
    )


def test_more_steps_at_once_than_lines():
    shown = listed(*(started(number, f"RUN work {number}", total=60) for number in range(1, 41)))
    lines = shown.screen(40, 10, 50.0)
    assert len(lines) == 10
    assert lines[1].text == " => ... and 32 more steps go on"
    assert lines[2].text.startswith(" => [33/60] RUN work 33")
    assert lines[-1].text.startswith(" => [40/60] RUN work 40")


def test_layers_on_their_way_are_shown_until_they_are_here():
    shown = listed(
        started(1, "FROM debian"),
        LayerProgress("3f2a9c", "downloading", 5_000_000, 30_000_000),
        LayerProgress("77e1b0", "extracting", 0, 0),
    )
    assert drawn(shown.screen(60, 24, 3.0)).endswith(
        " => => 3f2a9c downloading 5MB / 30MB\n => => 77e1b0 extracting"
    )
    shown.take(LayerProgress("3f2a9c", "complete", 0, 0), 4.0)
    assert "3f2a9c" not in drawn(shown.screen(60, 24, 4.0))


@pytest.mark.parametrize("columns", [1, 5, 11, 20])
def test_a_narrow_screen_shows_beginnings(columns):
    lines = listed(*TWO_STAGES).screen(columns, 24, 10.0)
    assert all(width(line.text) <= columns for line in lines)


EVENTS = st.lists(
    st.one_of(
        st.builds(started, st.integers(1, 30), st.text(max_size=40), st.sampled_from(["", "a"])),
        st.builds(StepOutput, st.integers(1, 30), st.just(1), st.binary(max_size=60)),
        st.builds(StepDone, st.integers(1, 30), st.floats(0, 1e6), st.just(0), st.text()),
        st.builds(StepCanceled, st.integers(1, 30)),
        st.builds(
            LayerProgress, st.text(max_size=3), st.just("downloading"), st.just(1), st.just(2)
        ),
    ),
    max_size=60,
)


@given(EVENTS, st.integers(1, 60), st.integers(1, 30))
def test_whatever_happens_it_fits_the_screen(events, columns, rows):
    shown = listed(*events)
    lines = shown.screen(columns, rows, 100.0)
    assert len(lines) <= rows
    for line in (*lines, *shown.whole(columns, 100.0)):
        assert width(line.text) <= columns
        assert line.text.isprintable()


def test_what_a_step_writes_is_kept_only_in_part():
    shown = listed(started(1, "RUN yes"), *(StepOutput(1, 1, b"y\n" * 30_000) for _ in range(9)))
    shown.take(StepErred(1, 1.0, "killed"), 20.0)
    (step,) = shown.failed
    assert len(step.tail) <= 1 << 15
    assert last_words(step)[2:-1] == ["y"] * 40


def test_an_endless_instruction_is_cut():
    """It would be measured for each drawing, and be written whole when it fails."""
    text = "RUN echo " + "é" * 2_000_000
    made = listed(started(1, text), StepOutput(1, 1, b"no"), StepErred(1, 0.1, "it failed"))
    (failed,) = made.failed
    assert len(last_words(failed)[1]) < 1100
    assert failed.title.endswith("é ...")
