"""`mode=delete` of `-o type=local`: what of a folder is not in the tree that it is to hold, goes.

By descriptors and without following a link. Knows no image.
"""

import os
import stat
from collections.abc import Collection

from lamina.errors import from_oserror
from lamina.fs.remove import remove_tree
from lamina.fs.tree import TreeView

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def keep_like(root: int, path: str, tree: TreeView) -> None:
    """Remove what the tree has not, or has as something else, from an open folder at `path`.

    Raises a `StorageError`.
    """
    try:
        _liken(root, tree, b"")
    except OSError as error:
        raise from_oserror(error, "making room in", path) from error


def keep_only(path: str, names: Collection[str]) -> None:
    """Remove all but these entries of a folder. Raises a `StorageError`."""
    for name in set(os.listdir(path)).difference(names):
        remove_tree(os.path.join(path, name))


def _liken(folder: int, tree: TreeView, path: bytes) -> None:
    for name in map(os.fsencode, os.listdir(folder)):
        below = path + b"/" + name if path else name
        wanted = tree.lstat(below)
        is_folder = stat.S_ISDIR(os.lstat(name, dir_fd=folder).st_mode)
        if wanted is None or stat.S_ISDIR(wanted.st_mode) != is_folder:
            _remove(folder, name, is_folder=is_folder)
        elif is_folder:
            inner = os.open(name, _DIRECTORY, dir_fd=folder)
            try:
                _liken(inner, tree, below)
            finally:
                os.close(inner)


def _remove(folder: int, name: bytes, *, is_folder: bool) -> None:
    if is_folder:
        remove_tree(os.path.join(f"/proc/self/fd/{folder}", os.fsdecode(name)))
    else:
        os.unlink(name, dir_fd=folder)
