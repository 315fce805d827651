"""Which stages can be built, and what is said of them."""

import pytest

from lamina.dockerfile.targets import targets
from lamina.errors import DockerfileError

TEXT = """\
# syntax=docker/dockerfile:1
# base is not described by this

# base has the tools
FROM debian AS Base
RUN x
# something else
FROM base AS build
FROM --platform=$P scratch
# test  runs all of them
# check=skip=all
FROM build AS test
# final what is shipped
# final or so they say
FROM scratch AS final
"""


def test_stages_and_what_stands_above_them():
    found = targets(TEXT)
    assert [each[:5] for each in found.stages] == [
        ("base", "has the tools", False, "debian", ""),
        ("build", "", False, "base", ""),
        ("", "", False, "scratch", "$P"),
        ("test", "runs all of them", False, "build", ""),
        ("final", "what is shipped", True, "scratch", ""),
    ]
    assert [each.position.first for each in found.stages] == [5, 8, 9, 12, 15]
    assert found.text == TEXT


def test_comments_that_describe_nothing():
    text = "# a\n#a far\n#\n# a is last\n# ab\nFROM x AS a\n# a x\n\nFROM a AS b\n"
    assert [each.description for each in targets(text).stages] == ["is last", ""]


def test_what_is_no_dockerfile():
    with pytest.raises(DockerfileError, match="unknown instruction: FORM"):
        targets("FORM a\n", filename="My.Dockerfile")
