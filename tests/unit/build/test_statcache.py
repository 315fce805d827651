"""The stat cache: what is believed, what is not, and that damage is no error."""

import os

import pytest

from lamina.build.statcache import StatCache
from lamina.fs.status import packed, settled, unpacked

DIGEST = bytes(range(32))
OLD = 10**18  # ns


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"text")
    return str(path)


def state(path):
    return packed(os.stat(path))


def _later(status):
    return unpacked(status).ctime_ns + 60 * 10**9


def test_a_digest_is_found_again_after_saving(tmp_path, file):
    status = state(file)
    cache = StatCache(str(tmp_path / "folder" / "cache"))
    cache.note(status, DIGEST, _later(status))
    cache.save()
    assert StatCache(str(tmp_path / "folder" / "cache")).find(status) == DIGEST


@pytest.mark.parametrize("change", ["content", "mtime", "replace"])
def test_a_changed_file_is_not_found(tmp_path, file, change):
    status = state(file)
    cache = StatCache(None)
    cache.note(status, DIGEST, _later(status))
    if change == "content":
        with open(file, "ab") as opened:
            opened.write(b"more")
    elif change == "mtime":
        os.utime(file, ns=(OLD, OLD))
    else:
        other = str(tmp_path / "other")
        with open(other, "wb") as opened:
            opened.write(b"TEXT")
        os.utime(other, ns=(5, unpacked(status).mtime_ns))
        os.rename(other, file)
    assert cache.find(state(file)) is None


def test_a_file_changed_just_before_it_was_read_is_not_kept(file):
    status = state(file)
    cache = StatCache(None)
    cache.note(status, DIGEST, unpacked(status).ctime_ns + 1000)
    assert cache.find(status) is None


def test_whole_second_clocks_are_given_two_seconds():
    assert not settled(1000 * 10**9, 1001 * 10**9)
    assert settled(1000 * 10**9, 1003 * 10**9)
    assert settled(1000 * 10**9 + 1, 1001 * 10**9)


@pytest.mark.parametrize("damage", ["cut", "flip", "magic", "empty", "count"])
def test_a_damaged_cache_is_no_cache(tmp_path, file, damage):
    path = str(tmp_path / "cache")
    status = state(file)
    cache = StatCache(path)
    cache.note(status, DIGEST, _later(status))
    cache.save()
    with open(path, "rb") as opened:
        data = bytearray(opened.read())
    if damage == "cut":
        data = data[:-1]
    elif damage == "flip":
        data[-1] ^= 1
    elif damage == "magic":
        data[0] ^= 1
    elif damage == "count":
        data[16] ^= 7
    else:
        data = bytearray()
    with open(path, "wb") as opened:
        opened.write(data)
    assert StatCache(path).find(status) is None


def test_states_that_are_gone_fade_out(tmp_path, file):
    path = str(tmp_path / "cache")
    for _ in range(20):
        with open(file, "ab") as opened:
            opened.write(b"more")
        status = state(file)
        cache = StatCache(path)
        cache.note(status, DIGEST, _later(status))
        cache.save()
    assert os.path.getsize(path) <= 24 + 2 * 72


def test_the_folder_keeps_a_bounded_number_of_contexts(tmp_path, file):
    status = state(file)
    for number in range(70):
        cache = StatCache(str(tmp_path / "contexts" / str(number)))
        cache.note(status, DIGEST, _later(status))
        cache.save()
    assert len(os.listdir(tmp_path / "contexts")) == 64


def test_a_store_that_cannot_be_written_costs_only_speed(tmp_path, file):
    status = state(file)
    cache = StatCache(os.path.join(file, "below-a-file"))
    cache.note(status, DIGEST, _later(status))
    cache.save()
    assert cache.find(status) == DIGEST


@pytest.mark.parametrize(("changed", "is_saved"), [(1, False), (3, True)])
def test_what_was_learnt_of_few_files_is_learnt_again(tmp_path, file, changed, is_saved):
    """Of one in 256 at most: to write down all the others takes longer."""
    path = str(tmp_path / "folder" / "cache")
    status = state(file)
    states = [number.to_bytes(8, "little") + status[8:] for number in range(600)]
    cache = StatCache(path)
    for each in states:
        cache.note(each, DIGEST, _later(status))
    cache.save()
    cache = StatCache(path)
    for each in states[changed:]:
        assert cache.find(each) == DIGEST
    new = [number.to_bytes(8, "little") + status[8:] for number in range(900, 900 + changed)]
    for each in new:
        cache.note(each, DIGEST[::-1], _later(status))
    cache.save()
    again = StatCache(path)
    assert [again.find(each) == DIGEST[::-1] for each in new] == [is_saved] * changed
    assert again.find(states[-1]) == DIGEST
