"""A layer index that is damaged is said to be, wherever the damage lies."""

import io

import pytest

from lamina.archive.index import IndexReader, IndexWriter, indexed
from lamina.archive.reader import read
from lamina.errors import StoreDamaged
from lamina.testing.trees import tar_of

TEXT = "\n".join(f"f d{n}/a{n} {'x' * n} 600 {n}:1" for n in range(300))


@pytest.fixture
def index(tmp_path):
    path = tmp_path / "index"
    with IndexWriter(str(path)) as writer:
        for _ in indexed(read(io.BytesIO(tar_of(TEXT))), writer):
            pass
        writer.finish()
    return path


def names(path):
    with IndexReader(str(path)) as reader:
        return [record.name for record in reader.records() if record.kind]


def _is_damaged(index):
    try:
        names(index)
    except StoreDamaged:
        return True
    return False


def test_an_index_is_read_as_it_was_written(index):
    assert names(index) == [f"d{n}/a{n}".encode() for n in range(300)]


def test_a_torn_frame_is_damage(index):
    whole = index.read_bytes()
    noticed = 0
    for at in range(16, 4000, 41):
        index.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        noticed += _is_damaged(index)
    assert noticed > 80  # of 98; the rest changes what a record says, which the diff ID tells
    index.write_bytes(whole[:16] + bytes(100) + whole[116:])
    with pytest.raises(StoreDamaged):
        names(index)


def test_an_index_that_is_cut_off_or_missing_is_damage(index):
    whole = index.read_bytes()
    for length in (0, 8, 100, len(whole) - 1):
        index.write_bytes(whole[:length])
        with pytest.raises(StoreDamaged, match="is damaged"):
            names(index)
    index.unlink()
    with pytest.raises(StoreDamaged, match="is missing"):
        names(index)
