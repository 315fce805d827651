"""Containers made of what others have written, and what takes it away again."""

import pytest

from tests.cli.rig import assert_complaint, told, tree
from tests.cli.test_detached import state

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts", "needs_crun")
_WRITE = (
    "echo one >/File1; ln /File1 /Linked; ln -s File1 /Symbolic; rm /etc/motd; rm -r /opt;"
    " mkdir /opt; echo new >/opt/new; chmod 700 /tmp; mkfifo /fifo; chown bob /File1"
)
_DIFF = "C /etc\nD /etc/motd\nA /fifo\nA /File1\nA /Linked\nC /opt\nA /opt/new\nD /opt/old\nA /Symbolic\nC /tmp\n"


@pytest.fixture
def needs_crun(needs_program):
    needs_program("crun")


@pytest.fixture
def written(on, driver):
    """A store on each driver, with a container `c1` that has changed all kinds of things."""
    store = on(driver)
    store.env["LAMINA_ISOLATION"] = "crun"
    store.ok("run", "--name", "c1", "base", "sh", "-c", _WRITE)
    yield store
    store.ok("rm", "-f", *store.ok("ps", "-aq").split())


def changes(store, name):
    return sorted(store.ok("diff", name).splitlines())


def test_a_fork_has_what_the_other_has_written_and_goes_its_own_way(written):
    written.ok("fork", "--name", "c2", "c1")
    assert changes(written, "c2") == changes(written, "c1") == sorted(_DIFF.splitlines())
    assert state(written, "c2")["Status"] == "created"
    one, two = (told(written, "inspect", name)[0]["Config"] for name in ("c1", "c2"))
    assert one["Hostname"] != two["Hostname"]
    assert {**one, "Hostname": ""} == {**two, "Hostname": ""}
    written.ok("commit", "c1", "i1")
    written.ok("commit", "c2", "i2")
    one, two = (told(written, "inspect", name)[0]["RootFS"]["Layers"] for name in ("i1", "i2"))
    assert one == two, "to the last bit of a layer"
    written.ok("start", "-a", "c2")
    assert changes(written, "c1") == sorted(_DIFF.splitlines())
    written.ok("rm", "c1")
    written.ok("fork", "--name", "c1", "c2")
    assert changes(written, "c1") == changes(written, "c2")


def test_a_reset_leaves_nothing_of_it(written):
    assert written.ok("reset", "c1") == "c1\n"
    assert written.ok("diff", "c1") == ""
    written.ok("start", "c1")
    assert written.ok("wait", "c1") == "0\n"
    assert changes(written, "c1") == sorted(_DIFF.splitlines())


def test_of_one_that_runs(base):
    base.ok(
        "run", "-d", "--name", "c1", "base", "sh", "-c", "echo 1 >/one; mkdir -p /a/b; sleep 1000"
    )
    base.ok("exec", "c1", "sh", "-c", "until test -d /a/b; do :; done")
    try:
        made = base.ok("fork", "-n", "3", "-d", "--name", "ff", "c1").split()
        assert len(made) == 3
        assert set(base.ok("ps", "--format", "{{.Names}}").split()) == {"c1", "ff", "ff-2", "ff-3"}
        assert state(base, "c1")["Status"] == "running"
        base.ok("exec", "ff-2", "touch", "/mine")
        assert base.ok("diff", "ff-2") == "A /a\nA /a/b\nA /mine\nA /one\n"
        assert base.ok("diff", "ff") == base.ok("diff", "c1") == "A /a\nA /a/b\nA /one\n"
        base.ok("pause", "c1")
        base.ok("fork", "--name", "of-paused", "c1")
        assert state(base, "c1")["Status"] == "paused", "it stays so"
        assert base.ok("diff", "of-paused") == "A /a\nA /a/b\nA /one\n"
        assert_complaint(base("reset", "ff-2"), "is running")
        assert base.ok("reset", "-f", "ff-2") == "ff-2\n"
        base.ok("exec", "ff-2", "sh", "-c", "until test -d /a/b; do :; done")
        assert base.ok("diff", "ff-2") == "A /a\nA /a/b\nA /one\n"
    finally:
        base.ok("rm", "-f", *base.ok("ps", "-aq").split())
    assert tree(f"{base.root}/containers") == []


def test_named_volumes_are_shared_and_others_are_new(base):
    script = "echo a >/named/x; echo b >/mine/x"
    base.ok("run", "--name", "c1", "-v", "vol:/named", "-v", "/mine", "base", "sh", "-c", script)
    base.ok("fork", "--name", "c2", "c1")
    base.ok("commit", "c2", "image")
    one, two = (told(base, "inspect", name)[0]["Mounts"] for name in ("c1", "c2"))
    names = [{each["Destination"]: each["Name"] for each in mounts} for mounts in (one, two)]
    assert names[0]["/named"] == names[1]["/named"] == "vol"
    assert names[0]["/mine"] != names[1]["/mine"]
    base.ok("rm", "-v", "c1")
    base.ok("start", "-a", "c2")
    base.ok("rm", "-v", "c2")


def test_what_cannot_be_forked(base):
    base.ok("create", "--name", "c1", "base", "true")
    assert_complaint(base("fork", "--name", "c1", "c1"), "in use")
    base.ok("create", "--name", "c2-3", "base", "true")
    assert_complaint(base("fork", "-n", "3", "--name", "c2", "c1"), "c2-3")
    assert sorted(base.ok("ps", "-a", "--format", "{{.Names}}").split()) == ["c1", "c2-3"]
    base.ok("rm", "c2-3")
    assert_complaint(base("fork", "-n", "0", "c1"), "number")
    assert_complaint(base("fork", "none"), "no such container")
    assert_complaint(base("reset", "none"), "no such container")
    assert base.ok("ps", "-aq").count("\n") == 1


def test_a_limit_is_the_forks_too(on):
    store = on("btrfs")
    store.ok("run", "--name", "c1", "--storage-opt", "size=20m", "base", "sh", "-c", "echo 1 >/f")
    store.ok("fork", "--name", "c2", "c1")
    store.ok("commit", "c2", "two")
    assert store.ok("diff", "c2") == "A /f\n"
    store.ok("rm", "c1", "c2")
