"""What a monitor keeps of a container's output is what `logs` reads back, however it is rotated."""

import json
import os
import tempfile
from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lamina.containers.logs import Selection, instant, read
from lamina.execution.monitor.jsonlog import Log
from lamina.fs.mounting import in_private_namespace
from lamina.kernel.mount import MS_REMOUNT, mount

_TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)


def told(path, *wanted, **more):
    return [(line.stream, line.data) for line in read(path, *wanted, **more)]


def joined(lines, stream):
    return b"".join(data for each, data in lines if each == stream)


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "log")


@given(st.lists(st.tuples(st.sampled_from(["stdout", "stderr"]), _TEXT)))
@settings(deadline=None, max_examples=60)
def test_what_is_written_in_pieces_comes_back_whole(pieces):
    with tempfile.TemporaryDirectory() as folder:
        log = Log(f"{folder}/log", 0, 1)
        for stream, text in pieces:
            log.write(stream, text.encode())
        log.finish()
        lines = told(f"{folder}/log")
        for stream in ("stdout", "stderr"):
            written = "".join(text for each, text in pieces if each == stream)
            assert joined(lines, stream) == written.encode()
        assert all(data.count(b"\n") <= 1 for _, data in lines)


@given(st.binary(max_size=300))
@settings(deadline=None, max_examples=60)
def test_any_bytes_make_a_json_object_a_line(data):
    with tempfile.TemporaryDirectory() as folder:
        log = Log(f"{folder}/log", 0, 1)
        log.write("stdout", data)
        log.finish()
        with open(f"{folder}/log", "rb") as file:
            found = [json.loads(line) for line in file.read().split(b"\n")[:-1]]
        assert "".join(each["log"] for each in found) == data.decode("utf-8", "replace")


@given(
    sizes=st.lists(st.integers(0, 120), min_size=1, max_size=60),
    limit=st.integers(100, 600),
    files=st.integers(1, 4),
    tail=st.none() | st.integers(0, 70),
)
@settings(deadline=None, max_examples=80)
def test_rotated_the_newest_lines_are_there_within_the_bound(sizes, limit, files, tail):
    with tempfile.TemporaryDirectory() as folder:
        log = Log(f"{folder}/log", limit, files)
        texts = [f"{number} {'x' * size}\n".encode() for number, size in enumerate(sizes)]
        for text in texts:
            log.write("stdout", text)
        names = os.listdir(folder)
        assert len(names) <= files
        assert all(os.path.getsize(f"{folder}/{name}") <= max(limit, 250) for name in names)
        kept = [data for _, data in told(f"{folder}/log")]
        assert kept == texts[len(texts) - len(kept) :]
        assert kept
        wanted = [data for _, data in told(f"{folder}/log", Selection(tail=tail))]
        assert wanted == (kept if tail is None else kept[max(0, len(kept) - tail) :])


def test_who_follows_misses_nothing_of_a_rotation(path):
    log = Log(path, 300, 3)
    steps = iter(range(40))

    def more():
        number = next(steps, None)
        if number is None:
            return False
        log.write("stdout", b"%d\n" % number)
        return True

    assert told(path, more=more) == [("stdout", b"%d\n" % number) for number in range(40)]


def test_who_is_left_behind_goes_on_with_the_oldest_that_is_there(path):
    log = Log(path, 200, 2)
    rounds = iter([30])

    def more():
        for number in range(next(rounds, 0)):
            log.write("stdout", b"%d\n" % number)
        return False

    log.write("stdout", b"first\n")
    lines = [data for _, data in told(path, more=more)]
    assert lines[0] == b"first\n"
    assert lines[-1] == b"29\n"


def test_half_a_line_of_a_power_cut_is_passed_over(path):
    log = Log(path, 0, 1)
    log.write("stdout", b"one\n")
    with open(path, "ab") as file:
        file.write(b'{"log":"ha\n[1]\n{}\n')
    log.write("stdout", b"two\n")
    assert told(path) == [("stdout", b"one\n"), ("stdout", b"two\n")]


def test_a_long_line_is_cut(path):
    log = Log(path, 0, 1)
    log.write("stdout", b"x" * 40000)
    lines = told(path)
    assert [len(data) for _, data in lines] == [16384, 16384]
    log.write("stdout", b"\n")
    assert [data[-1:] for _, data in told(path)] == [b"x", b"x", b"\n"]


def test_a_full_disk_costs_lines_and_leaves_no_half_ones(tmp_path, needs_root, needs_mounts):
    from lamina.fs.mounting import in_private_namespace
    from lamina.kernel import mount

    place = str(tmp_path)

    def work():
        mount.mount("tmpfs", place, "tmpfs", 0, "size=16k")
        log = Log(f"{place}/log", 0, 1)
        for number in range(400):
            log.write("stdout", b"%d and something\n" % number)
        full = told(f"{place}/log")
        with open(f"{place}/log", "rb") as file:
            ended = file.read().endswith(b"\n")
        return full, ended

    lines, ended = in_private_namespace(work)
    assert ended
    assert 0 < len(lines) < 400
    assert [data for _, data in lines] == [b"%d and something\n" % n for n in range(len(lines))]


def test_no_log_has_no_lines(path):
    assert told(path) == []


def test_instants_compare_as_texts():
    assert instant(None) == ""
    assert instant(0) == "1970-01-01T00:00:00.000000000Z"
    assert instant(1.5) < instant(1.75) < instant(2)


@pytest.mark.parametrize("microseconds", [0, 1, 123456, 499999, 999999])
def test_an_instant_is_the_microsecond_that_was_typed(microseconds):
    typed = f"2026-11-26T21:04:25.{microseconds:06d}"
    seconds = datetime.fromisoformat(f"{typed}+00:00").timestamp()
    assert instant(seconds) == f"{typed}000Z"


@pytest.mark.usefixtures("needs_mounts")
def test_where_nothing_can_be_begun_what_is_there_stays(tmp_path):
    """A file system that has room for three files: the folder, the log and the one before it."""

    def act():
        mount("tmpfs", str(tmp_path), "tmpfs", 0, "nr_inodes=3")
        log = Log(str(tmp_path / "log"), 100, 2)
        for word in ("one", "two", "three", "four"):
            log.write("stdout", f"{word}\n".encode())
        kept = told(str(tmp_path / "log"))
        mount("tmpfs", str(tmp_path), "tmpfs", MS_REMOUNT, "nr_inodes=9")
        log.write("stdout", b"five\n")
        return kept, told(str(tmp_path / "log"))

    kept, then = in_private_namespace(act, lambda _told: None)
    assert kept == [("stdout", b"one\n"), ("stdout", b"two\n")]
    assert then == [("stdout", b"two\n"), ("stdout", b"five\n")]
