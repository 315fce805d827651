"""`lamina squash`: fewer layers, the same tree, nothing wasted; and it runs."""

import pytest

from tests.cli.rig import assert_refuses, build_app, told

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")
DOCKERFILE = """FROM base
COPY big /tmp/big
ENV A=1
RUN cp /tmp/big /root/kept && rm /tmp/big && chmod 700 /root
CMD cat /root/kept
"""


@pytest.fixture
def built(base):
    return build_app(base, DOCKERFILE, big="b" * 5000)


@pytest.mark.parametrize(("flags", "count"), [((), 1), (("--from", "2"), 2)])
def test_a_squashed_image_is_the_same_and_runs_and_wastes_nothing(built, flags, count):
    assert told(built, "waste", "--json", "app")["Wasted"] == 5000
    made = built.ok("squash", "app", "-t", "small", *flags).strip()
    assert built.ok("squash", "app", *flags).strip() == made
    found = told(built, "waste", "--json", "small")
    assert (len(found["Layers"]), found["Wasted"]) == (count, 0)
    compared = told(built, "compare", "--json", "app", "small")
    assert compared["Same"]
    assert compared["Layers"]["Common"] == count - 1
    assert built.ok("run", "--rm", "--network", "none", "small") == "b" * 5000
    lines = built.ok("history", "--format", "{{.CreatedBy}}|{{.Comment}}", "small").splitlines()
    assert lines[0].startswith(f"|layers {count} to 3 of sha256:")
    assert "COPY big /tmp/big # buildkit|buildkit.dockerfile.v0" in lines


def test_what_cannot_be_squashed_leaves_nothing(built):
    assert_refuses(built, "squash", 3)
