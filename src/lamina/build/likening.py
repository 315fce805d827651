"""`mode=delete` of `-o type=local`: what of a folder is not in the tree that it is to hold, goes.

By descriptors and without following a link. Knows no image.
"""

import os
import stat
from collections.abc import Collection

from lamina.errors import from_oserror
from lamina.fs.remove import remove_tree
from lamina.fs.tree import TreeView
from lamina.fs.walk import walk


def keep_like(root: int, path: str, tree: TreeView) -> None:
    """Remove what the tree has not, or has as something else, from an open folder at `path`.

    Raises a `StorageError`.
    """
    try:
        for found in walk(root, may_change=True):  # what goes here is not entered
            wanted = tree.lstat(found.path)
            if wanted is None or stat.S_ISDIR(wanted.st_mode) != found.is_directory:
                _remove(found.directory, found.name, is_folder=found.is_directory)
    except OSError as error:
        raise from_oserror(error, "making room in", path) from error


def keep_only(path: str, names: Collection[str]) -> None:
    """Remove all but these entries of a folder. Raises a `StorageError`."""
    for name in set(os.listdir(path)).difference(names):
        remove_tree(os.path.join(path, name))


def _remove(folder: int, name: bytes, *, is_folder: bool) -> None:
    if is_folder:
        remove_tree(os.path.join(f"/proc/self/fd/{folder}", os.fsdecode(name)))
    else:
        os.unlink(name, dir_fd=folder)
