"""The bytes of small files: what is found again, what is not, and that damage is no error."""

import hashlib
import os

import pytest

from lamina.build.smallfiles import SMALL, SmallFiles
from lamina.build.statcache import StatCache
from lamina.fs.status import packed

ONE, TWO = b"one", b"a second one"


def sha(data):
    return hashlib.sha256(data).digest()


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "context.files")


def written(path, *contents):
    files = SmallFiles(path)
    for data in contents:
        files.keep(sha(data), data)
    files.save({sha(data) for data in contents})
    return files


def test_bytes_are_found_again_after_saving(path):
    for files in (written(path, ONE, b"", TWO), SmallFiles(path)):
        assert [files.find(sha(data)) for data in (TWO, b"", ONE)] == [TWO, b"", ONE]
    assert os.stat(path).st_mode & 0o777 == 0o600


def test_what_is_not_wanted_any_more_goes(path):
    written(path, ONE, TWO)
    files = SmallFiles(path)
    files.keep(sha(b"new"), b"new")
    files.save({sha(TWO), sha(b"new")})
    again = SmallFiles(path)
    assert [again.find(sha(data)) for data in (ONE, TWO, b"new")] == [None, TWO, b"new"]


def test_large_files_are_not_kept(path):
    at_most, more = bytes(SMALL), bytes(SMALL + 1)
    written(path, at_most, more)
    assert SmallFiles(path).find(sha(at_most)) == at_most
    assert SmallFiles(path).find(sha(more)) is None


def test_there_is_only_so_much_room(path):
    contents = [b"%08d" % number * (SMALL // 8) for number in range((64 << 20) // SMALL + 3)]
    written(path, *contents)
    assert os.stat(path).st_size < 66 << 20
    files = SmallFiles(path)
    assert files.find(sha(contents[0])) == contents[0]
    assert files.find(sha(contents[-1])) is None


def test_without_a_place_nothing_is_kept():
    files = SmallFiles(None)
    files.keep(sha(ONE), ONE)
    files.save({sha(ONE)})
    assert files.find(sha(ONE)) is None


def test_nothing_is_known_once_it_was_forgotten(path):
    files = written(path, ONE)
    files.forget()
    assert files.find(sha(ONE)) is None
    assert not os.path.exists(path)


@pytest.mark.parametrize("at", ["magic", "count", "table", "end"])
def test_a_damaged_file_is_no_cache(path, at):
    written(path, ONE, TWO)
    with open(path, "r+b") as file:
        file.seek({"magic": 0, "count": 16, "table": 30, "end": 0}[at])
        if at == "end":
            file.truncate(os.stat(path).st_size - len(TWO))
        else:
            file.write(b"\xff\xff")
    assert SmallFiles(path).find(sha(TWO)) is None


def test_bytes_that_are_damaged_are_not_believed(path):
    written(path, ONE, TWO)
    with open(path, "r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"?")
    assert SmallFiles(path).find(sha(TWO)) is None
    assert SmallFiles(path).find(sha(ONE)) is None


def test_what_a_context_is_known_by_goes_together(tmp_path):
    """One more context than there is room for: the oldest goes, its small files with it."""
    folder = str(tmp_path / "contexts")
    for number in range(65):
        path = os.path.join(folder, f"context{number}")
        cache = StatCache(path)
        (tmp_path / "file").write_bytes(b"%d" % number)
        status = os.stat(tmp_path / "file")
        digest = sha(b"%d" % number)
        cache.note(packed(status), digest, status.st_ctime_ns + 60 * 10**9)
        cache.contents.keep(digest, b"%d" % number)
        cache.save()
        os.utime(path, (number, number))
    assert len(os.listdir(folder)) == 2 * 64
    assert not {"context0", "context0.files"} & set(os.listdir(folder))
