import os
import stat

import pytest

from lamina.fs.descent import Descent
from lamina.fs.usage import usage_of
from lamina.fs.walk import walk
from tests.unit.fs.conftest import DEEP


@pytest.fixture
def opened():
    descriptors = []

    def open_(path):
        descriptors.append(os.open(path, os.O_RDONLY))
        return descriptors[-1]

    yield open_
    for descriptor in descriptors:
        os.close(descriptor)


def test_every_entry_once_parents_first_bytewise(tmp_path, opened):
    for name in (b"b", b"a/z", b"a/\xc3\xa4", b"a/\xff", b"a.b", b"A"):
        path = os.path.join(os.fsencode(tmp_path), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        open(path, "w").close()
    (tmp_path / "link").symlink_to("a")
    paths = [found.path for found in walk(opened(tmp_path))]
    assert paths == [b"A", b"a", b"a/z", b"a/\xc3\xa4", b"a/\xff", b"a.b", b"b", b"link"]


def test_what_is_found_can_be_opened_where_it_lies(tmp_path, opened):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").write_text("text")
    for found in walk(opened(tmp_path)):
        again = os.stat(found.name, dir_fd=found.directory, follow_symlinks=False)
        assert again.st_ino == found.status.st_ino
        assert found.is_directory == stat.S_ISDIR(again.st_mode)


def test_a_very_deep_tree(deep, opened, few_descriptors):
    last = None
    count = 0
    for found in walk(opened(deep)):
        count += 1
        last = found if found.name == b"end" else last
    assert count == DEEP + 2
    assert last is not None
    assert len(last.path) == 2 * DEEP + 3


def test_stopping_early_leaves_nothing_open(deep, opened):
    for count, _ in enumerate(walk(opened(deep))):
        if count == 500:
            break


def test_a_tree_that_moves_meanwhile_is_an_error(tmp_path, opened):
    """`..` would then lead somewhere else, even out of the tree."""
    path = tmp_path.joinpath(*["d"] * 50)
    path.mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    descent = Descent(opened(tmp_path))
    for _ in range(50):
        descent.enter(b"d")
    inner = tmp_path.joinpath(*["d"] * 10)
    inner.rename(tmp_path / "elsewhere" / "d")
    with pytest.raises(OSError, match="moved"):
        _leave(descent, 50)
    descent.close()


def _leave(descent: Descent, levels: int) -> None:
    for _ in range(levels):
        descent.leave()


def test_usage_counts_a_file_once_however_many_names_it_has(tmp_path, opened):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "one").write_bytes(b"x" * 10_000)
    os.link(tmp_path / "folder" / "one", tmp_path / "two")
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(1 << 20)
    (tmp_path / "link").symlink_to("x" * 100)
    usage = usage_of(opened(tmp_path))
    assert (usage.size, usage.entries) == (10_000 + (1 << 20), 5)
    blocks = sum(
        os.lstat(tmp_path / name).st_blocks for name in ("folder", "folder/one", "sparse", "link")
    )
    assert usage.disk == blocks * 512


def test_what_goes_while_it_is_measured_does_not_count(tmp_path, opened):
    """A container goes on while it is measured: here each name that was listed goes at once."""
    for name in ("a", "b/in", "c"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("text")
    (tmp_path / "d").mkdir()
    found = walk(opened(tmp_path), may_change=True)
    assert next(found).path == b"a"
    assert next(found).path == b"b"
    (tmp_path / "b" / "in").unlink()
    (tmp_path / "b").rmdir()
    (tmp_path / "b").write_text("a file by now")
    (tmp_path / "c").unlink()
    assert next(found).path == b"d"
    (tmp_path / "d").rmdir()
    assert list(found) == []
