"""Waste to the byte: on generated images, and case by case."""

import subprocess
from collections import Counter

import pytest

from lamina.analyze.instruction import Step
from lamina.analyze.losses import account
from lamina.analyze.waste import LayerFacts, waste
from lamina.values.digest import DiffID
from tests.unit.analyze.known import Known, dive
from tests.unit.analyze.rig import merged

DIFF = DiffID("sha256:" + "0" * 64)


def wasted(*layers, made=(), shared=()):
    """The waste of layers that the instructions `made`."""
    facts = [
        LayerFacts(DIFF, made[at] if at < len(made) else Step("RUN", "make"), at in shared)
        for at in range(len(layers))
    ]
    return waste(merged(*layers), facts)


def kinds(found):
    return [(each.kind, each.size, each.layer, each.by) for each in found.findings]


@pytest.mark.parametrize("seed", range(30))
def test_the_waste_of_a_generated_image_is_exactly_what_its_acts_cost(seed):
    known = Known(seed)
    ledger = account(merged(*known.tars))
    lost = Counter()
    for loss in ledger.losses:
        lost[loss.layer, loss.by, loss.manner] += loss.size
    assert lost == known.lost
    assert ledger.stored == tuple(known.stored[at] for at in range(len(known.tars)))
    assert sum(ledger.stored) == sum(ledger.visible) + sum(lost.values())


@pytest.mark.parametrize("seed", range(30))
def test_dives_efficiency_is_dives(seed):
    known = Known(seed)
    assert account(merged(*known.tars)).dive == pytest.approx(dive(known.tars), abs=1e-12)


def test_the_generated_images_have_waste_of_every_manner():
    manners = {manner for seed in range(30) for _, _, manner in Known(seed).lost}
    assert manners == {"deleted", "overwritten", "attributes", "moved"}


def test_a_copied_archive_that_is_deleted_later_is_the_classic_mistake():
    copy = Step("COPY", "app.tar.gz /tmp/", 2)
    found = wasted(
        "d tmp\nf tmp/app.tar.gz 12345678",
        "f opt/app 123",
        "w tmp/app.tar.gz",
        made=(copy, Step("RUN", "tar"), Step("RUN", "rm /tmp/app.tar.gz")),
    )
    (finding,) = found.findings
    assert finding[:6] == ("deleted", 8, 1, 0, 2, b"tmp/app.tar.gz")
    assert finding.title == "/tmp/app.tar.gz, deleted 2 layers later"
    assert "--mount=type=bind,source=app.tar.gz,target=/tmp/app.tar.gz" in finding.repair
    assert (found.stored, found.visible, found.wasted) == (11, 3, 8)
    assert found.layers[0].deleted == found.layers[2].hides == 8


def test_a_renamed_directory_is_stored_twice():
    found = wasted("f old/in/a 1111\nf old/b 22", "w old\nf new/in/a 1111\nf new/b 22")
    (finding,) = found.findings
    assert finding[:6] == ("moved", 6, 2, 0, 1, b"old")
    assert finding.title == "/old (2 files), moved to /new 1 layer later"


def test_what_is_moved_together_is_told_by_where_it_all_went():
    found = wasted("f one/a 1111\nf two/b 22", "w one\nw two\nf to/one/a 1111\nf to/two/b 22")
    assert found.findings[0].title == "/ (2 files), moved to /to 1 layer later"
    found = wasted("f old/only/a 1111", "w old\nf new/only/a 1111")
    assert found.findings[0].title == "/old, moved to /new 1 layer later"


def test_a_changed_owner_or_mode_or_time_stores_the_file_again():
    for change, named in (("644 5:5", "owner"), ("755", "mode"), ("600 5:5", "owner, mode")):
        found = wasted("f a text", f"f a text {change}")
        assert kinds(found) == [("attributes", 4, 0, 1)]
        assert f"changed {named} only" in found.findings[0].title
    assert "stored again unchanged" in wasted("f a text", "f a text").findings[0].title


def test_a_file_is_seen_as_long_as_one_of_its_names_is():
    base = "f a text\nh b -> a"
    assert wasted(base, "w a").wasted == 0
    assert kinds(wasted(base, "w a", "w b")) == [("deleted", 4, 0, 2)]
    assert kinds(wasted(base, "w b", "f a new")) == [("overwritten", 4, 0, 2)]
    assert wasted("f a text", "h b -> a", "w a").wasted == 0


def test_an_opaque_directory_deletes_what_is_below_it():
    found = wasted("f d/a 1\nf d/b 22", "o d\nf d/c 333")
    assert kinds(found) == [("deleted", 3, 0, 1)]


def test_a_file_in_a_directorys_place_overwrites_it():
    assert kinds(wasted("f d/a 1\nf d/b 22", "f d file")) == [("overwritten", 3, 0, 1)]


def test_what_a_tar_holds_twice_is_wasted_within_its_layer():
    assert kinds(wasted("f a 1\nf a 22")) == [("overwritten", 1, 0, 0)]
    assert kinds(wasted("f a 1\nw a")) == [("deleted", 1, 0, 0)]


def test_what_lies_in_a_shared_layer_is_not_to_be_had_by_rewriting_ones_own():
    found = wasted("f a 333", "f b 22", "w a\nw b", shared={0})
    assert (found.wasted, found.unshared) == (5, 2)


def test_caches_and_build_tools_are_advice_and_no_waste():
    found = wasted(
        "f var/lib/apt/lists/x 333\nf root/.cache/pip/y 22\nf home/me/.npm/_cacache/a/b 4444\n"
        "f usr/lib/gcc/z 1\nf usr/bin/x86_64-linux-gnu-gcc-12 55555\nf usr/bin/grep 666666"
    )
    assert found.wasted == 0
    assert {(each.kind, each.size, each.where) for each in found.findings} == {
        ("cache", 3, b"var/lib/apt/lists/x"),
        ("cache", 2, b"root/.cache/pip/y"),
        ("cache", 4, b"home/me/.npm/_cacache/a/b"),
        ("build-tool", 6, b"usr"),
    }
    assert not any(each.exact for each in found.findings)


def test_holes_are_no_bytes(tmp_path):
    with open(tmp_path / "sparse", "wb") as file:
        file.seek(1 << 20)
        file.write(b"end")
    tar = ["tar", "--sparse", "--format=gnu", "-C", tmp_path, "-c", "sparse"]
    made = subprocess.run(tar, capture_output=True, check=True).stdout
    found = wasted(made, "w sparse")
    assert 3 <= found.wasted == found.stored < 1 << 20


def test_a_copy_is_the_one_in_the_upper_layer():
    for first, second in (("z", "a"), ("a", "z")):
        found = wasted(f"f {first} text", f"f {second} text")
        (finding,) = found.findings
        assert (finding.kind, finding.layer, finding.where) == ("duplicate", 1, second.encode())


def test_an_empty_image_wastes_nothing():
    found = wasted()
    assert (found.stored, found.efficiency, found.dive_efficiency) == (0, 1.0, 1.0)
