"""Cache keys as values, and the sentences that explain a miss."""

import pytest

from lamina.build.cachekey import Files, Inputs, explain

RUN = {
    "op": "run",
    "parent": "sha256:" + "a" * 64,
    "argv": ["/bin/sh", "-c", "true"],
    "env": ["PATH=/bin", "VER=1"],
    "cwd": "/",
    "user": "",
    "network": "host",
}


def test_the_key_does_not_depend_on_the_order_of_facts():
    assert Inputs(RUN).key == Inputs(dict(reversed(RUN.items()))).key


def test_every_fact_counts():
    for name in RUN:
        assert Inputs({**RUN, name: "other"}).key != Inputs(RUN).key


def test_the_order_of_the_environment_counts():
    assert Inputs({**RUN, "env": RUN["env"][::-1]}).key != Inputs(RUN).key


def test_the_files_explain_and_do_not_count():
    assert Inputs(RUN, {"a": "1"}).key == Inputs(RUN).key


def test_the_key_is_fixed():
    golden = "sha256:c56951d32e79b7e44e9faee695addd81ff807d23b9396a36a0c99087983f8f38"
    assert Inputs(RUN).key == golden, "raise cachekey.VERSION and note it in docs/format"


def test_a_changed_variable_is_named():
    before = Inputs(RUN).to_json()
    now = Inputs({**RUN, "env": ["PATH=/bin", "VER=2"]})
    assert explain(before, now) == "the environment changed (VER)"


def test_changed_files_are_named():
    facts = {"op": "copy", "content": "1"}
    before = Inputs(facts, {"a": "1", "b": "1", "c": "1"})
    now = Inputs({**facts, "content": "2"}, {"a": "2", "b": "1", "d": "1"})
    assert explain(before.to_json(), now) == "a changed, d is new, c is gone"
    now = Inputs({**facts, "content": "2"}, {"a": "1", "b": "1", "c": "1"})
    assert explain(before.to_json(), now) == "a directory came, went or changed"
    assert explain(Inputs(facts).to_json(), Inputs({**facts, "content": "2"})) == (
        "the content changed"
    )


def test_many_changed_files_are_counted():
    facts = {"op": "copy", "content": "1"}
    before = Inputs(facts, {f"f{n}": "1" for n in range(9)})
    now = Inputs({**facts, "content": "2"}, {f"f{n}": "2" for n in range(9)})
    assert explain(before.to_json(), now) == ("f0 changed, f1 changed, f2 changed and 6 more")


def condensed(names, changed=""):
    files = Files()
    for name in names:
        files.add(name.encode(), name.encode() + (b"2" if name == changed else b"1"))
    return files.condensed()


def test_a_large_tree_is_explained_by_directory():
    names = [f"d{n // 100}/sub/deep/er/f{n}" for n in range(3000)]
    before = Inputs({"content": "1"}, condensed(names))
    assert len(before.to_json()) < 4000
    now = Inputs({"content": "2"}, condensed(names, changed=names[1234]))
    assert explain(before.to_json(), now) == "d12/sub/deep/ changed"


@pytest.mark.parametrize("order", [1, -1])
def test_when_files_are_put_together_does_not_matter(order):
    names = [f"d{n // 100}/f{n}" for n in range(3000)]
    assert condensed(names[::order]) == condensed(names)
    more = condensed(["a/1", "a/2", *names])
    del more["a/"]
    assert more == condensed(names)


def test_one_directory_of_many_files_is_one_row():
    assert set(condensed([f"f{n}" for n in range(1000)])) == {"./"}


def test_an_unseen_step_and_a_lost_layer():
    assert "not built here before" in explain(None, Inputs(RUN))
    assert "no longer stored" in explain(Inputs(RUN).to_json(), Inputs(RUN))


def test_a_damaged_record_is_no_error():
    for text in ("", "[]", "{}", '{"facts":1,"files":2}', "nul"):
        assert "cannot be read" in explain(text, Inputs(RUN))
