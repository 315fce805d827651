"""The list of layers on their way, by its lines."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.cli.cells import width
from lamina.cli.layerlist import LayerList
from lamina.values.events import LayerProgress

MB = 1_000_000


def listed(*events, into=None):
    """A list that was told events, each with its time."""
    made = into or LayerList()
    for now, layer, state, current, total in events:
        made.take(LayerProgress(layer, state, current, total), now)
    return made


def texts(lines):
    return [line.text for line in lines]


def shown(made, now, columns=100, rows=24):
    return texts(made.screen(columns, rows, now))


def test_a_layer_has_a_bar_bytes_a_speed_and_the_time_left():
    made = listed((0, "one", "waiting", 0, 40 * MB), (1, "one", "downloading", 4 * MB, 40 * MB))
    assert shown(made, 1.5) == [f"one Downloading [===>{' ' * 26}] 4MB/40MB"]
    listed((3, "one", "downloading", 10 * MB, 40 * MB), into=made)
    assert shown(made, 3) == [f"one Downloading [=======>{' ' * 22}] 10MB/40MB 3MB/s 10s left"]
    listed((9, "one", "download complete", 40 * MB, 40 * MB), into=made)
    assert shown(made, 9) == ["one Download complete"]
    listed((9, "one", "complete", 0, 0), into=made)
    assert shown(made, 9) == texts(made.whole(100)) == ["one Pull complete"]


def test_a_speed_is_that_of_the_last_seconds():
    made = listed(*((each, "a", "pushing", each * MB, 100 * MB) for each in range(11)))
    listed(*((each, "a", "pushing", 10 * MB, 100 * MB) for each in (11, 12, 13)), into=made)
    assert " 400kB/s 3m45s left" in shown(made, 13)[0]  # 2 of 5 seconds brought something
    assert shown(made, 30)[0].endswith("10MB/100MB 0B/s")


def test_what_is_sent_anew_has_no_speed_below_zero():
    made = listed((0, "a", "pushing", 50 * MB, 90 * MB), (2, "a", "pushing", 1 * MB, 90 * MB))
    assert shown(made, 2.5)[0].endswith(" 1MB/90MB")
    listed((4, "a", "pushing", 3 * MB, 90 * MB), into=made)
    assert shown(made, 4)[0].endswith(" 3MB/90MB 1MB/s 1m27s left")


def test_a_layer_is_unpacked_while_it_comes():
    made = listed((0, "a", "downloading", 1, 10), (0, "a", "extracting", 0, 0))
    assert shown(made, 0)[0].endswith("1B/10B")
    listed((1, "a", "download complete", 10, 10), into=made)
    assert shown(made, 1) == ["a Extracting"]


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        (80, "abc Downloading [===============>              ] 15MB/30MB 5MB/s 3s left"),
        (52, "abc Downloading [=====>    ] 15MB/30MB 5MB/s 3s left"),
        (49, "abc Downloading 15MB/30MB 5MB/s 3s left"),
        (38, "abc Downloading 15MB/30MB 5MB/s"),
        (30, "abc Downloading 15MB/30MB"),
        (24, "abc Downloading"),
        (8, "abc Dow…"),
        (0, ""),
    ],
)
def test_a_narrow_terminal_loses_the_bar_first(columns, line):
    made = listed(
        (0, "abc", "downloading", 0, 30 * MB), (3, "abc", "downloading", 15 * MB, 30 * MB)
    )
    assert shown(made, 3, columns) == [line]


def test_of_more_layers_than_lines_those_that_move_are_seen():
    made = listed(*((0, f"w{each}", "waiting", 0, 9) for each in range(5)))
    listed((0, "w0", "complete", 0, 0), (0, "w3", "downloading", 3, 9), into=made)
    assert shown(made, 0, 60, 3) == [
        "w0 Pull complete",
        f"w3 Downloading [{'=' * 10}>{' ' * 19}] 3B/9B",
        "... and 3 more: 0 done, 3 waiting",
    ]
    assert shown(made, 0, 60, 1) == ["... and 5 more: 1 done, 3 waiting"]
    assert len(made.whole(60)) == 5


def test_what_was_compressed_goes_on_under_its_blobs_name():
    made = listed((0, "diff", "compressing", 0, 0), (1, "diff", "compressed", 5, 5))
    listed((2, "blob", "pushed", 5, 5), into=made)
    assert shown(made, 2) == ["blob Pushed"]


_EVENTS = st.builds(
    LayerProgress,
    st.sampled_from("abcdef") | st.text(max_size=3),
    st.sampled_from(["waiting", "downloading", "pushing", "extracting", "complete"]) | st.text(),
    st.integers(-5, 1 << 80),
    st.integers(-5, 1 << 80),
)


@given(
    st.lists(st.tuples(_EVENTS, st.floats(0, 9)), max_size=20),
    st.integers(0, 90),
    st.integers(-1, 9),
)
def test_no_line_is_too_wide_and_no_screen_too_high(told, columns, rows):
    made, now = LayerList(), 0.0
    for event, passed in told:
        now += passed
        made.take(event, now)
    lines = made.screen(columns, rows, now + 1)
    assert len(lines) <= max(rows, 1)
    for line in [*lines, *made.whole(columns)]:
        assert width(line.text) <= columns
        assert line.text.isprintable()
