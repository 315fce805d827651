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
FROM scratch
# test  runs all of them
# check=skip=all
FROM build AS test
# final what is shipped
FROM scratch AS final
"""


def test_stages_with_names_and_what_stands_above_them():
    assert targets(TEXT) == (
        ("base", "has the tools", False),
        ("build", "", False),
        ("test", "", False),  # docker looks at the line right above alone
        ("final", "what is shipped", True),
    )


def test_the_last_stage_needs_no_name():
    assert targets("FROM a AS b\nFROM c\n") == (("b", "", False), ("", "", True))


def test_what_is_no_dockerfile():
    with pytest.raises(DockerfileError, match="unknown instruction: FORM"):
        targets("FORM a\n", filename="My.Dockerfile")
