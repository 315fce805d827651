"""A file that is complete or not there, also beside others that write the same one."""

import os
import sys
import threading

import pytest

from lamina.fs.newfile import new_file


@pytest.fixture
def fast_switches():
    """Threads that take turns as often as can be: what can meet does."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def write(path, text):
    with new_file(str(path)) as descriptor:
        os.write(descriptor, text)


def test_what_a_killed_thread_of_our_number_left_is_in_nobodys_way(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    (tmp_path / f"file.{threading.get_native_id()}.tmp").write_text("half")
    write(path, b"new")
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["file"]


def test_threads_that_write_one_file_do_not_meet(tmp_path, fast_switches):
    path, failed = tmp_path / "file", []

    def work(text):
        try:
            for _ in range(100):
                write(path, text)
        except Exception as error:  # noqa: BLE001 - told on the test's own thread
            failed.append(error)

    threads = [threading.Thread(target=work, args=(each * 9,)) for each in (b"a", b"b", b"c")]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert failed == []
    assert path.read_bytes() in (b"a" * 9, b"b" * 9, b"c" * 9)
    assert os.listdir(tmp_path) == ["file"]
