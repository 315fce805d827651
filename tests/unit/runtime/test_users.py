"""Who USER means: docker's answers, and no other tree's."""

import os

import pytest

from lamina.errors import RuntimeFailure
from lamina.fs.tree import FlatTree
from lamina.runtime.users import Credentials, resolve_ids, resolve_user

_PASSWD = """\
root:x:0:0:root:/root:/bin/sh
www:x:33:34::/var/www:/bin/false
short:x:5
1000:x:77:78::/odd:/bin/sh
bad:x:abc:1::/:
huge:x:4294967296:4294967296::/:
superscript:x:\u00b2:\u00b2::/:
nohome:x:9:9:::
www:x:99:99::/second:
"""
_GROUP = """\
root:x:0:
www:x:34:
audio:x:29:www,root
video:x:44:joe,www
empty:x:50:
more
"""


@pytest.fixture
def tree(tmp_path):
    etc = tmp_path / "etc"
    etc.mkdir()
    (etc / "passwd").write_text(_PASSWD)
    (etc / "group").write_text(_GROUP)
    view = FlatTree(os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY))
    yield view
    view.close()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Credentials(0, 0, (29,), "/root")),
        ("root", Credentials(0, 0, (29,), "/root")),
        ("0", Credentials(0, 0, (29,), "/root")),
        ("www", Credentials(33, 34, (29, 44), "/var/www")),
        ("33", Credentials(33, 34, (29, 44), "/var/www")),
        ("www:audio", Credentials(33, 29, (), "/var/www")),
        ("www:12345", Credentials(33, 12345, (), "/var/www")),
        ("12345", Credentials(12345, 0, (), "/")),
        ("12345:6", Credentials(12345, 6, (), "/")),
        (":audio", Credentials(0, 29, (), "/root")),
        ("1000", Credentials(1000, 0, (), "/")),
        ("nohome", Credentials(9, 9, (), "/")),
        ("2147483647", Credentials(2147483647, 0, (), "/")),
    ],
)
def test_resolved(tree, text, expected):
    assert resolve_user(tree, text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "nobody",
        "-1",
        "4294967296",
        "2147483648",
        "99999999999999999999999",
        "0:4294967295",
        "root:nogroup",
        "\u00b2",
        "huge",
        "bad",
        "short",
        "root :root",
        "../root",
    ],
)
def test_refused(tree, text):
    with pytest.raises(RuntimeFailure) as raised:
        resolve_user(tree, text)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("www", (33, 34)), ("33", (33, 34)), ("7", (7, 7)), ("7:8", (7, 8)), ("www:audio", (33, 29))],
)
def test_owners(tree, text, expected):
    assert resolve_ids(tree, text) == expected


def test_without_files_numbers_are_enough(tmp_path):
    view = FlatTree(os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY))
    assert resolve_user(view, "") == Credentials(0, 0, (), "/")
    assert resolve_user(view, "5:6") == Credentials(5, 6, (), "/")
    with pytest.raises(RuntimeFailure, match="no users"):
        resolve_user(view, "root")
    view.close()


def test_a_huge_passwd_is_refused(tmp_path):
    (tmp_path / "etc").mkdir()
    with open(tmp_path / "etc/passwd", "wb") as file:
        file.truncate(1 << 40)
    view = FlatTree(os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY))
    with pytest.raises(RuntimeFailure, match="larger than"):
        resolve_user(view, "root")
    view.close()


@pytest.mark.parametrize("name", ["passwd", "group"])
def test_what_is_no_file_is_refused_at_once(tmp_path, name):
    (tmp_path / "etc").mkdir()
    os.mkfifo(tmp_path / "etc" / name)
    view = FlatTree(os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY))
    with pytest.raises(RuntimeFailure, match=f"/etc/{name} is no regular file"):
        resolve_user(view, "5")
    view.close()


def test_a_linked_passwd_is_read_inside_the_root(tmp_path):
    for name in ("etc", "usr/lib"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "usr/lib/passwd").write_text("joe:x:5:6::/home/joe:/bin/sh\n")
    os.symlink("/../../usr/lib/passwd", tmp_path / "etc/passwd")
    view = FlatTree(os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY))
    assert resolve_user(view, "joe") == Credentials(5, 6, (), "/home/joe")
    view.close()
