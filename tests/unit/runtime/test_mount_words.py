"""What a container is shown, as docker spells it."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.errors import UsageError
from lamina.runtime.mountspelling import mount, once_each, taken_from, volume
from lamina.runtime.process import Tmpfs, Volume


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/tmp:/x", Volume("/tmp", "/x", False)),
        ("/tmp:/x:ro", Volume("/tmp", "/x", True)),
        ("/tmp:/x/../y/:ro,z", Volume("/tmp", "/y", True)),
        ("/tmp:/x:rprivate,bind", Volume("/tmp", "/x", False, recursive=False)),
        ("name:/x", Volume("", "/x", False, "name")),
        ("name:/x:ro,nocopy", Volume("", "/x", True, "name", copies=False)),
        ("/x", Volume("", "/x", False)),
    ],
)
def test_volumes(text, expected):
    assert volume(text) == expected


def test_a_relative_path_begins_with_a_dot(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkdir("sub")
    assert volume("./sub:/x").source == str(tmp_path / "sub")
    assert volume(".:/x").source == str(tmp_path)
    assert volume("sub:/x").name == "sub"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "invalid volume"),
        ("a:", "invalid volume"),
        ("a:/x:ro:rw", "invalid volume"),
        ("a:x", "invalid mount point"),
        ("a:/", "invalid mount point"),
        ("a:/x/..", "invalid mount point"),
        ("/tmp:/x:what", "invalid volume option 'what'"),
        ("/tmp:/x:nocopy", "invalid volume option 'nocopy'"),
        ("/tmp:/x:rshared", "propagation rshared"),
        ("/none/such:/x", "does not exist"),
    ],
)
def test_what_is_no_volume(text, words):
    with pytest.raises(UsageError, match=words):
        volume(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("type=bind,source=/tmp,target=/x", Volume("/tmp", "/x", False)),
        ("type=bind,src=/tmp,dst=/x,readonly", Volume("/tmp", "/x", True)),
        ("type=bind,src=/tmp,destination=/x,ro=false", Volume("/tmp", "/x", False)),
        ('type=bind,"src=/tmp",dst=/x,bind-propagation=rprivate', Volume("/tmp", "/x", False)),
        (
            "type=bind,src=/tmp,dst=/x,bind-nonrecursive",
            Volume("/tmp", "/x", False, recursive=False),
        ),
        ("src=name,dst=/x", Volume("", "/x", False, "name")),
        ("type=volume,dst=/x", Volume("", "/x", False)),
        (
            "type=volume,src=n1,dst=/x,volume-nocopy=true",
            Volume("", "/x", False, "n1", copies=False),
        ),
        ("type=tmpfs,dst=/x", Tmpfs("/x")),
        (
            "type=tmpfs,dst=/x,tmpfs-size=1m,tmpfs-mode=1770,ro",
            Tmpfs("/x", ("ro", "size=1048576", "mode=1770")),
        ),
    ],
)
def test_mounts(text, expected):
    assert mount(text) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("type=nfs,dst=/x", "unknown mount type 'nfs'.*bind"),
        ("type=bind,src=/tmp", "no target"),
        ("type=bind,dst=/x", "no source"),
        ("type=bind,src=/tmp,dst=/x,readnly", "did you mean readonly"),
        ("type=bind,src=/tmp,dst=/x,tmpfs-size=1", "belongs to mounts of type tmpfs"),
        ("type=bind,src=/tmp,dst=/x,ro=maybe", "true or false"),
        ("type=bind,src=/tmp,dst=/x,bind-propagation=shared", "propagation shared"),
        ("type=tmpfs,src=/tmp,dst=/x", "no source"),
        ("type=tmpfs,dst=/x,tmpfs-size=big", "tmpfs-size"),
        ("type=tmpfs,dst=/x,tmpfs-mode=rwx", "mode=rwx"),
        ("type=volume,dst=/x,volume-driver=nfs", "no volume driver"),
        ('type=volume,"dst=/x', "invalid mount"),
    ],
)
def test_what_is_no_mount(text, words):
    with pytest.raises(UsageError, match=words):
        mount(text)


def test_two_in_one_place_are_refused():
    with pytest.raises(UsageError, match="duplicate mount point: /x"):
        once_each([Volume("", "/x", False)], [Tmpfs("/x")])


def test_volumes_of_another_container():
    assert taken_from("c1") == ("c1", False)
    assert taken_from("c1:ro") == ("c1", True)
    for text in ("", ":ro", "c1:what"):
        with pytest.raises(UsageError, match="take volumes from"):
            taken_from(text)


@given(st.text())
def test_whatever_is_given_is_understood_or_refused(text):
    for spelled in (volume, mount):
        try:
            spelled(text)
        except UsageError:
            pass
