"""Members are read by their exact name, inside the archive, whatever their names say."""

import io
import os
import tarfile

import pytest

from lamina.errors import BadArchive
from lamina.images.members import DirectoryMembers, TarMembers
from lamina.testing.sample_images import Link, as_tar


def content(members, name):
    with members.open(name) as stream:
        return b"".join(iter(lambda: stream.read(7), b""))


@pytest.fixture(params=["in_tar", "in_directory"])
def members_of(request):
    return request.getfixturevalue(request.param)


def test_files_are_found_by_name(members_of):
    members = members_of({"a": b"one", "d/b": b"two" * 1000, "empty": b""})
    assert members.has("a")
    assert members.has("./d//b")
    assert not members.has("c")
    assert not members.has("d")
    assert content(members, "a") == b"one"
    assert content(members, "d/b") == b"two" * 1000
    assert content(members, "empty") == b""
    assert members.small("a", 3) == b"one"


def test_two_streams_of_one_file_do_not_disturb_each_other(members_of):
    members = members_of({"a": b"0123456789"})
    with members.open("a") as first, members.open("a") as second:
        assert first.read(4) == b"0123"
        assert second.read(2) == b"01"
        assert first.read(100) == b"456789"


def test_what_is_missing_or_too_large_is_said(members_of):
    members = members_of({"a": b"12345"})
    with pytest.raises(BadArchive, match="more than 4"):
        members.small("a", 4)
    for name in ("b", "", "a/b", "x" * 300, "../a", "a/../../a"):
        with pytest.raises(BadArchive), members.open(name):
            pass


def test_links_lead_to_members_and_nowhere_else(in_tar):
    members = in_tar(
        {
            "real/layer.tar": b"layer",
            "near/layer.tar": Link("../real/layer.tar"),
            "chain/layer.tar": Link("../near/layer.tar"),
            "rooted": Link("/real/layer.tar"),
            "out": Link("../../../etc/passwd"),
            "host": Link("/etc/passwd"),
            "self": Link("self"),
            "dangling": Link("gone"),
        }
    )
    for name in ("near/layer.tar", "chain/layer.tar"):
        assert members.has(name)
        assert content(members, name) == b"layer"
    for name in ("out", "host", "self", "dangling"):
        assert not members.has(name)
        with pytest.raises(BadArchive, match="has no file"):
            members.open(name)


def member(name, data=b"", kind=tarfile.REGTYPE, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, len(data)
    return info, io.BytesIO(data)


def tar(*members):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for info, data in members:
            archive.addfile(info, data)
    return out.getvalue()


def test_hard_links_and_late_comers(in_tar):
    members = in_tar(
        tar(
            member("a", b"first"),
            member("hard", kind=tarfile.LNKTYPE, link="a"),
            member("b", b"was a file"),
            member("b", kind=tarfile.SYMTYPE, link="c"),
            member("c", b"c"),
            member("a", b"second"),
            member("d", b"was a file"),
            member("d", kind=tarfile.DIRTYPE),
        )
    )
    assert content(members, "hard") == b"second"
    assert content(members, "a") == b"second"
    assert content(members, "b") == b"c"
    assert not members.has("d")


@pytest.mark.parametrize("kind", [tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE])
def test_what_is_no_file_is_no_member(in_tar, kind):
    members = in_tar(tar(member("manifest.json", kind=kind)))
    assert not members.has("manifest.json")


@pytest.mark.parametrize(
    "name", ["../outside", "a/../../outside", "n" * 300], ids=["up", "inner", "long"]
)
def test_names_that_climb_are_refused(in_tar, name):
    with pytest.raises(BadArchive):
        in_tar(tar(member("a", b"x"), member(name, b"y")))


def test_a_directory_is_never_left(in_directory, tmp_path):
    (tmp_path / "secret").write_text("secret")
    members = in_directory(
        {"a": b"x", "out": Link("../secret"), "folder": Link(".."), "loop": Link("loop")}
    )
    os.mkfifo(tmp_path / "layout0" / "fifo")
    for name in ("out", "folder/secret", "../secret", "/../../secret", "fifo"):
        with pytest.raises(BadArchive), members.open(name):
            pytest.fail(f"{name} was opened")
    assert not any(map(members.has, ("out", "folder", "folder/secret", "fifo", "loop/x")))


def open_descriptors():
    return len(os.listdir("/proc/self/fd"))


BROKEN = {
    "cut off": tar(member("a", b"x" * 2000))[:1500],
    "no tar": b"x" * 1024,
    "climbing": tar(member("../a")),
    "a wrong checksum": b"\xff" + tar(member("a"))[1:],
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_archives_leak_no_descriptor(tmp_path, name):
    """CVE-2026-114236."""
    path = tmp_path / "broken.tar"
    path.write_bytes(BROKEN[name])
    before = open_descriptors()
    for _ in range(200):
        with pytest.raises(BadArchive):
            TarMembers(os.open(path, os.O_RDONLY))
    assert open_descriptors() == before


def test_refusals_leak_no_descriptor(in_directory):
    members = in_directory({"d/a": b"x", "link": Link("d/a")})
    before = open_descriptors()
    for _ in range(200):
        for name in ("d", "link", "missing", "d/a/b"):
            with pytest.raises(BadArchive), members.open(name):
                pass
    assert open_descriptors() == before


def test_an_archive_of_too_many_members_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("lamina.images.members._MEMBERS_LIMIT", 10)
    path = tmp_path / "many.tar"
    path.write_bytes(tar(*(member(str(number)) for number in range(11))))
    with pytest.raises(BadArchive, match="over 10 members"):
        TarMembers(os.open(path, os.O_RDONLY))


def test_a_directory_that_is_none_is_an_oserror(tmp_path):
    with pytest.raises(OSError, match="No such file"):
        DirectoryMembers(str(tmp_path / "none"))


def test_an_archive_of_endless_names_is_refused(tmp_path, monkeypatch):
    """They are kept in memory, and a compressed archive of them is small."""
    monkeypatch.setattr("lamina.images.members._NAMES_LIMIT", 100)
    path = tmp_path / "names.tar"
    path.write_bytes(as_tar({f"{number}" * 30: b"" for number in range(4)}))
    with pytest.raises(BadArchive, match="names have over 100 bytes"):
        TarMembers(os.open(path, os.O_RDONLY))
