"""`lamina slim`: nothing hidden is carried, the base stays shared, the tree stays, and it runs."""

import pytest

from tests.cli.rig import assert_refuses, build_app, nothing_left, told

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")
DOCKERFILE = """FROM base
COPY kept /root/kept
COPY big /tmp/big
ENV A=1
RUN cat /tmp/big /root/kept > /root/made && rm /tmp/big
RUN chmod 700 /root/made && echo changed > /etc/passwd
CMD cat /root/made
"""


@pytest.fixture
def built(base):
    return build_app(base, DOCKERFILE, kept="k" * 100, big="b" * 50_000)


def test_a_slimmed_image_is_the_same_and_shares_its_base_and_wastes_nothing_of_its_own(built):
    before = told(built, "waste", "--json", "app")
    said = built.ok("slim", "app", "-t", "slim")
    made = said.splitlines()[0]
    assert built.ok("slim", "-q", "app") == f"{made}\n"
    found = told(built, "waste", "--json", "slim")
    assert before["Stored"] - found["Stored"] == before["WastedUnshared"] == 100_100
    assert "100.1kB saved" in said
    assert "2 of 5 layers kept" in said
    assert f"{found['Wasted']}B stay hidden in layers that stay" in said
    assert found["WastedUnshared"] == 0
    compared = told(built, "compare", "--json", "app", "slim")
    assert (compared["Packages"], compared["Files"]) == ([], [])
    assert compared["Layers"]["Common"] == 2
    assert [layer["CreatedBy"] for layer in found["Layers"]] == [
        layer["CreatedBy"] for number, layer in enumerate(before["Layers"]) if number != 2
    ]
    run = ("run", "--rm", "--network", "none")
    assert built.ok(*run, "slim") == built.ok(*run, "app") == "b" * 50_000 + "k" * 100
    assert "COPY big" in built.ok("history", "slim")
    assert built.ok("check", "--full") == "clean\n"


def test_from_one_rewrites_the_base_as_well(built):
    said = built.ok("slim", "app", "-t", "slim", "--from", "1")
    assert "0 of 5 layers kept" in said
    assert "stay hidden" not in said
    assert told(built, "waste", "--json", "slim")["Wasted"] == 0
    assert told(built, "compare", "--json", "app", "slim")["Files"] == []


def test_what_hides_nothing_gets_a_name_and_nothing_else(built):
    with nothing_left(built):
        said = built.ok("slim", "base", "-t", "same")
        assert "Nothing is hidden" in said
        assert said.splitlines()[0] == built.ok("inspect", "--format", "{{.Id}}", "same").strip()


def test_what_cannot_be_slimmed_leaves_nothing(built):
    assert_refuses(built, "slim", 5)
