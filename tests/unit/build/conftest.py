"""What the builder's unit tests share: source trees and stage trees from lines of text."""

import io
import os
import tarfile
from collections.abc import Callable, Iterator

import pytest

from lamina.build.sources import ChainTree, ContextTree
from lamina.fs.tree import FlatTree
from lamina.testing.trees import tar_of


@pytest.fixture
def laid(tmp_path) -> Callable[[str, str], str]:
    """Lay a tree in the language of `lamina.testing.trees` into a directory; gives its path."""

    def lay(name: str, text: str) -> str:
        path = str(tmp_path / name)
        os.makedirs(path, exist_ok=True)
        with tarfile.open(fileobj=io.BytesIO(tar_of(text))) as archive:
            archive.extractall(path, filter="fully_trusted", numeric_owner=True)
        return path

    return lay


@pytest.fixture
def context(laid) -> Iterator[Callable[..., ContextTree]]:
    """A context tree over a directory that holds `text`."""
    opened = []

    def make(text: str, ignore=None) -> ContextTree:
        path = laid("context", text)
        tree = ContextTree(os.open(path, os.O_RDONLY | os.O_DIRECTORY), ignore)
        opened.append(tree)
        return tree

    yield make
    for tree in opened:
        tree.close()


@pytest.fixture
def stage(laid) -> Iterator[Callable[[str], FlatTree]]:
    """The tree of a stage that holds `text`."""
    opened = []

    def make(text: str, name: str = "stage") -> FlatTree:
        tree = FlatTree(os.open(laid(name, text), os.O_RDONLY | os.O_DIRECTORY))
        opened.append(tree)
        return tree

    yield make
    for tree in opened:
        tree.close()


@pytest.fixture
def earlier(laid) -> Iterator[Callable[[str], ChainTree]]:
    """An earlier stage to copy from."""
    opened = []

    def make(text: str) -> ChainTree:
        descriptor = os.open(laid("earlier", text), os.O_RDONLY | os.O_DIRECTORY)
        tree = ChainTree(FlatTree(descriptor), "stage build")
        opened.append(tree)
        return tree

    yield make
    for tree in opened:
        tree.close()
