"""Where a layer's index lies, and that it is the right one that is found at every moment."""

import os

import pytest

from lamina.layers import indexes
from lamina.metadata.layers import LayerRow
from lamina.metadata.root import StoreRoot
from lamina.values.digest import ChainID, DiffID
from lamina.values.ids import LayerID

DIFF = DiffID.of(b"tar")
ROW = LayerRow(
    LayerID("ab" * 32),
    "vfs",
    "committed",
    "ready",
    None,
    DIFF,
    ChainID.extend(None, DIFF),
    0,
    0,
    0.0,
    None,
    None,
    None,
)


@pytest.fixture
def root(tmp_path):
    opened = StoreRoot.open(str(tmp_path / "root"))
    yield opened
    opened.close()


def write(root, name, text):
    path = root.folder("index", name)
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
    return path


def read(path):
    with open(path, encoding="ascii") as file:
        return file.read()


def test_the_index_of_the_driver_in_use_ends_up_in_the_usual_place(root):
    common, own, moved = indexes.names(ROW)
    write(root, common, "old")
    write(root, own, "older")
    write(root, moved, "new")
    assert read(indexes.path(root, ROW)) == "new"
    indexes.tidy(root, ROW, alone=True)
    assert os.listdir(root.folder("index")) == [common]
    assert read(indexes.path(root, ROW)) == "new"


def test_an_index_that_is_in_the_way_and_stays_there_is_not_taken_for_the_new_one(root):
    common, own, moved = indexes.names(ROW)
    write(root, common, "old")
    os.mkdir(root.folder("index", own))  # which no unlink removes
    write(root, moved, "new")
    with pytest.raises(OSError, match=own):
        indexes.tidy(root, ROW, alone=True)
    assert read(indexes.path(root, ROW)) == "new"
