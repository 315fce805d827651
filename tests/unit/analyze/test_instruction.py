"""Instructions as histories tell them, and where a Dockerfile has them."""

import pytest

from lamina.analyze.instruction import Step, located, read, steps
from lamina.dockerfile import parse
from lamina.spec.imageconfig import HistoryEntry


@pytest.mark.parametrize(
    ("created_by", "wanted"),
    [
        ("RUN /bin/sh -c apt-get update && true # buildkit", Step("RUN", "apt-get update && true")),
        ("RUN |2 A=1 B=x y /bin/sh -c make  all # buildkit", Step("RUN", "make all")),
        ("RUN |2 A=1 B= /dev/pipes/EOF # buildkit", Step("RUN", "/dev/pipes/EOF")),
        ("RUN |1 A=1 2 make # buildkit", Step("RUN", "2 make")),
        ("COPY a b # buildkit", Step("COPY", "a b")),
        ("/bin/sh -c make", Step("RUN", "make")),
        ("|1 A=1 /bin/sh -c make", Step("RUN", "make")),
        ("/bin/sh -c #(nop) COPY file:12ab in /tmp/", Step("COPY", "file:12ab /tmp/")),
        ("/bin/sh -c #(nop)  CMD x", Step("", "/bin/sh -c #(nop) CMD x")),
        ("RUN python3 -c 1 # buildkit", Step("RUN", "python3 -c 1")),
        ("sleep 1", Step("", "sleep 1")),
        ("", Step("", "")),
    ],
)
def test_a_line_of_history_is_read(created_by, wanted):
    assert read(created_by) == wanted


def test_a_layer_has_the_line_that_made_it():
    lines = [
        HistoryEntry("", "", "Imported from -", "", False),
        HistoryEntry("", "ENV a=b", "", "", True),
        HistoryEntry("", "COPY a b # buildkit", "", "", False),
    ]
    made = [Step("", "Imported from -"), Step("COPY", "a b")]
    assert steps(lines, 2) == made
    assert steps(lines, 3) == [*made, Step("", "")]


def test_steps_are_found_in_their_dockerfile_from_the_last_upwards():
    text = (
        "FROM x\nRUN make\nCOPY a b\nRUN --mount=type=cache,target=/x make \\\n    all\nRUN make\n"
    )
    made = [read(each) for each in ("RUN make", "COPY a b", "RUN make all", "RUN make", "RUN no")]
    assert [each.line for each in located(made, parse(text))] == [2, 3, 4, 6, 0]
