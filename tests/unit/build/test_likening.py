"""`mode=delete`: what a folder has besides a tree goes, however deep that is."""

import os
from contextlib import closing

import pytest

from lamina.build.likening import keep_like
from lamina.fs.remove import remove_tree
from lamina.fs.tree import FlatTree

DEPTH = 1200  # more than calls may be nested


@pytest.fixture
def folders(tmp_path):
    """A deep tree, and a folder like it that has one file more in its lowest directory."""
    for name in ("wanted", "there"):
        here = tmp_path / name
        here.mkdir()
        below = os.open(here, os.O_RDONLY | os.O_DIRECTORY)
        for _ in range(DEPTH):
            os.mkdir("d", dir_fd=below)
            above, below = below, os.open("d", os.O_RDONLY | os.O_DIRECTORY, dir_fd=below)
            os.close(above)
        if name == "there":
            os.close(os.open("stale", os.O_CREAT | os.O_WRONLY, dir_fd=below))
        os.close(below)
    yield str(tmp_path / "wanted"), str(tmp_path / "there")
    for name in ("wanted", "there"):
        remove_tree(str(tmp_path / name))


def names(path):
    """How many directories lie in each other, and what the lowest holds."""
    here, depth = os.open(path, os.O_RDONLY | os.O_DIRECTORY), 0
    while "d" in os.listdir(here):
        above, here = here, os.open("d", os.O_RDONLY | os.O_DIRECTORY, dir_fd=here)
        os.close(above)
        depth += 1
    found = os.listdir(here)
    os.close(here)
    return depth, found


def test_a_very_deep_folder_is_likened_to_its_end(folders):
    wanted, there = folders
    assert names(there) == (DEPTH, ["stale"])
    root = os.open(there, os.O_RDONLY | os.O_DIRECTORY)
    with closing(FlatTree(os.open(wanted, os.O_RDONLY | os.O_DIRECTORY))) as tree:
        keep_like(root, there, tree)
    os.close(root)
    assert names(there) == (DEPTH, [])
