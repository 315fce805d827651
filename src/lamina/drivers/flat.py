"""One directory in the place of very many: what a layer and all below it come to, laid out flat.

The kernel unites 500 directories. A layer that would stand on more stands on one, `flat/` of its
parent: a copy of that whole tree (by reflinks where the file system can), made once for all who
stand there. It is made in the directory of the layer that needs it, so whatever a kill leaves goes
with that layer, and moved to the parent complete.
"""

import errno
import os
from collections.abc import Callable

from lamina.fs.copy import copy_tree
from lamina.fs.remove import remove_tree

NAME = "flat"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_THERE = (errno.EEXIST, errno.ENOTEMPTY)


def lay(layer: str, parent: str, opened: Callable[[], int]) -> None:
    """Let the directory `parent` have its flat tree, made in `layer` where it is not there yet.

    `opened` gives a descriptor of the mounted parent. Raises OSError or `StorageError`.
    """
    target = os.path.join(parent, NAME)
    if os.path.isdir(target):
        return
    made = os.path.join(layer, NAME)
    os.mkdir(made, 0o755)
    _copy(opened, made)
    _place(made, target)


def _copy(opened: Callable[[], int], made: str) -> None:
    source = opened()
    try:
        target = os.open(made, _DIRECTORY)
        try:
            copy_tree(source, target)
        finally:
            os.close(target)
    finally:
        os.close(source)


def _place(made: str, target: str) -> None:
    try:
        os.rename(made, target)
    except OSError as error:
        if error.errno not in _THERE:
            raise
        remove_tree(made)  # another process was first, with the same
