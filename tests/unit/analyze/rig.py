"""Layers stated in the language of trees, as their indexes tell them."""

import io
import os
import tempfile

from lamina.analyze.merged import MergedTree
from lamina.archive.index import IndexReader, IndexWriter, indexed
from lamina.archive.reader import read
from lamina.testing.trees import tar_of


def records(layer):
    """The records of a tar, or of the tar that a text states."""
    tar = layer if isinstance(layer, bytes) else tar_of(layer)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "index")
        with IndexWriter(path) as writer:
            for _ in indexed(read(io.BytesIO(tar)), writer):
                pass
            writer.finish()
        with IndexReader(path) as reader:
            return list(reader.records())


def merged(*layers):
    """The merged tree of layers, lowest first."""
    tree = MergedTree()
    for layer in layers:
        tree.add_layer(records(layer))
    return tree


def paths(tree):
    """The paths that are there now."""
    found = [path.decode() for path, node in tree.nodes() if node.now is not None and path]
    return sorted(found)
