"""Tars written member by member, in order and all at once."""

import io
import os
import tarfile
import threading

import pytest

from lamina.archive import header
from lamina.errors import StoreDamaged
from lamina.images.tape import FileTape, StreamTape, _sized


@pytest.fixture
def file(tmp_path):
    descriptor = os.open(tmp_path / "tape", os.O_RDWR | os.O_CREAT)
    yield descriptor
    os.close(descriptor)


def members(descriptor):
    os.lseek(descriptor, 0, os.SEEK_SET)
    with open(descriptor, "rb", closefd=False) as opened, tarfile.open(fileobj=opened) as archive:
        return {
            each.name: archive.extractfile(each).read() if each.isreg() else None
            for each in archive
        }


def write(tape):
    tape.folder("d")
    tape.file("d/small", b"small")
    with tape.member("d/" + "long" * 60, 1000) as out:
        out(b"x" * 600)
        out(b"y" * 400)
    tape.file("empty", b"")
    tape.finish()


def test_in_a_file_as_in_a_stream(file):
    stream = io.BytesIO()
    write(StreamTape(stream.write))
    write(FileTape(file))
    assert os.pread(file, 1 << 20, 0) == stream.getvalue()
    assert members(file) == {
        "d": None,
        "d/small": b"small",
        "d/" + "long" * 60: b"x" * 600 + b"y" * 400,
        "empty": b"",
    }


def test_places_are_filled_by_several_at_once(file):
    tape = FileTape(file)
    wanted = {f"m{number}": bytes([number]) * (number * 700) for number in range(20)}
    places = {name: tape.place(name, len(data)) for name, data in wanted.items()}

    def fill(name):
        with tape.filled(name, places[name], len(wanted[name])) as out:
            for at in range(0, len(wanted[name]), 333):
                out(wanted[name][at : at + 333])

    threads = [threading.Thread(target=fill, args=(name,)) for name in reversed(wanted)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    tape.finish()
    assert members(file) == wanted


def test_a_size_that_is_told_last(file):
    tape = FileTape(file)
    for name, data in (("a", b"a" * 513), ("b", b""), ("c", b"c" * 512)):
        with tape.growing(name) as out:
            out(data)
    tape.finish()
    assert members(file) == {"a": b"a" * 513, "b": b"", "c": b"c" * 512}


@pytest.mark.parametrize("size", [0, 1, (8 << 30) - 1, 8 << 30, 1 << 40])
def test_a_header_of_one_block_holds_any_size(size):
    made = _sized(header.build(name=b"n", prefix=b"", mode=0o644, uid=0, gid=0, size=0, mtime=0,
                               typeflag=b"0", link=b"", devmajor=0, devminor=0), size)  # fmt: skip
    assert header.parse(made).size == size
    assert tarfile.TarInfo.frombuf(made, "utf-8", "strict").size == size


@pytest.mark.parametrize("data", [b"", b"x" * 9, b"x" * 11])
def test_as_many_bytes_as_were_announced(file, data):
    for tape in (FileTape(file), StreamTape(io.BytesIO().write)):
        with (
            pytest.raises(StoreDamaged, match=r"announced|of 10 bytes"),
            tape.member("m", 10) as out,
        ):
            out(data)


def test_one_byte_too_many_reaches_no_other_member(file):
    tape = FileTape(file)
    first, second = tape.place("a", 512), tape.place("b", 512)
    with tape.filled("b", second, 512) as out:
        out(b"b" * 512)
    with tape.filled("a", first, 512) as out:
        out(b"a" * 512)
        with pytest.raises(StoreDamaged):
            out(b"!" * 1024)
    tape.finish()
    assert members(file) == {"a": b"a" * 512, "b": b"b" * 512}
