import os
import stat

import pytest

from lamina.fs.atomic import write_file


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "file")


def test_a_file_is_replaced_whole(path, tmp_path):
    write_file(path, b"old")
    opened = os.open(path, os.O_RDONLY)
    write_file(path, b"new", mode=0o600, durable=True)
    assert os.read(opened, 10) == b"old"
    os.close(opened)
    with open(path, "rb") as file:
        assert file.read() == b"new"
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert os.listdir(tmp_path) == ["file"]


def test_the_mode_is_what_was_asked_for(path):
    """docker's tools read these files, whatever umask the command was run with."""
    before = os.umask(0o077)
    try:
        write_file(path, b"", mode=0o644)
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o644


@pytest.mark.parametrize("call", ["write", "fsync", "rename"])
def test_a_failure_leaves_the_old_file_and_nothing_else(path, tmp_path, monkeypatch, call):
    write_file(path, b"old")

    def fail(*_arguments: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="No space"):
        write_file(path, b"new", durable=True)
    monkeypatch.undo()
    assert os.listdir(tmp_path) == ["file"]
    with open(path, "rb") as file:
        assert file.read() == b"old"


def test_a_link_in_the_way_is_replaced_not_followed(path, tmp_path):
    (tmp_path / "other").write_text("other")
    os.symlink("other", path)
    write_file(path, b"new")
    assert (tmp_path / "other").read_text() == "other"
    assert not os.path.islink(path)
