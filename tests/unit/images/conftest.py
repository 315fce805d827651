"""A store of images on vfs, and archives opened as their readers see them."""

import io
import os

import pytest

from lamina.content.directory import BlobStore
from lamina.drivers.catalog import entry
from lamina.images.members import DirectoryMembers, TarMembers
from lamina.images.store import ImageStore
from lamina.layers.store import LayerStore
from lamina.metadata.root import StoreRoot
from lamina.spec.imageconfig import ImageConfig
from lamina.testing.sample_images import as_directory, as_tar, sample
from lamina.values.reference import Reference


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


class Store:
    """An image store that can be closed and opened again."""

    def __init__(self, path):
        self.path = path
        self.open()

    def open(self):
        self.root = StoreRoot.open(self.path)
        made = entry("vfs")
        self.layers = LayerStore(self.root, made.make(self.root.folder(made.home)))
        self.blobs = BlobStore(self.root.folder("blobs"), self.root.folder("staging"))
        self.images = ImageStore(self.root, self.blobs, self.layers)

    def close(self):
        self.layers.close()
        self.root.close()

    def reopen(self):
        self.close()
        self.open()

    def make(self, *layers, names=(), **fields):
        """An image of layers stated in the language of trees."""
        made = sample(*layers, **fields)
        top = None
        for tar in made.layers:
            top = self.layers.register(top, io.BytesIO(tar)).chain_id
        names = tuple(map(Reference.parse, names))
        return self.images.create(ImageConfig.parse(made.config), names)

    def files(self):
        """What lies in the folders that grow with images."""
        found = []
        for name in ("blobs/sha256", "index", "staging", "trash", "vfs/dir"):
            path = os.path.join(self.path, name)
            found += [f"{name}/{each}" for each in os.listdir(path)] if os.path.isdir(path) else []
        return found


@pytest.fixture
def store(tmp_path, needs_root):
    made = Store(str(tmp_path / "root"))
    yield made
    made.close()
