"""A store of images on vfs, and archives opened as their readers see them."""

import os

import pytest

from lamina.images.members import DirectoryMembers, TarMembers
from lamina.testing.sample_images import as_directory, as_tar
from lamina.testing.stores import ScratchStore


@pytest.fixture
def in_tar(tmp_path):
    """Files as the members of a tar."""
    opened = []

    def make(files):
        path = tmp_path / f"{len(opened)}.tar"
        path.write_bytes(files if isinstance(files, bytes) else as_tar(files))
        opened.append(TarMembers(os.open(path, os.O_RDONLY)))
        return opened[-1]

    yield make
    for members in opened:
        members.close()


@pytest.fixture
def in_directory(tmp_path):
    """Files beneath a directory."""
    opened = []

    def make(files):
        folder = tmp_path / f"layout{len(opened)}"
        folder.mkdir()
        opened.append(DirectoryMembers(as_directory(files, str(folder))))
        return opened[-1]

    yield make
    for members in opened:
        members.close()


@pytest.fixture
def store(tmp_path, needs_root):
    made = ScratchStore(str(tmp_path / "root"))
    yield made
    made.close()
