"""Which names a user means."""

import pytest

from lamina.errors import InvalidReference
from lamina.values.namepattern import meant

NAMES = (
    "docker.io/library/app:1",
    "docker.io/library/app:2",
    "docker.io/library/apple:1",
    "docker.io/team/app:1",
    "localhost:5000/app:1",
)


@pytest.mark.parametrize(
    ("pattern", "indexes"),
    [
        ("app", [0, 1]),
        ("app:2", [1]),
        ("docker.io/library/app:1", [0]),
        ("localhost:5000/app", [4]),
        ("app*", [0, 1, 2]),
        ("ap?", [0, 1]),
        ("*:2", [1]),
        ("*", [0, 1, 2]),
        ("*/app", [3, 4]),
        ("*/app:1", [3, 4]),
        ("[b-z]*", []),
        ("docker.io/*/app:1", [0, 3]),
        ("nothing", []),
    ],
)
def test_a_name_or_a_pattern_means_these(pattern, indexes):
    assert meant(NAMES, pattern) == [NAMES[index] for index in indexes]


def test_what_is_neither_is_refused():
    with pytest.raises(InvalidReference):
        meant(NAMES, "UPPER")
