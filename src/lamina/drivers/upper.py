"""Copying the upper directory of a union as it is: whiteouts and opaque directories included."""

import os

from lamina.errors import from_oserror
from lamina.fs.marks import Marks

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW


def copy(source: str, target: str, marks: Marks, home: str) -> None:
    """Copy all of one upper directory into another, empty one; raises `StorageError`."""
    from lamina.fs.copy import copy_tree  # few copy

    try:
        origin = os.open(source, _DIRECTORY)
        try:
            made = os.open(target, _DIRECTORY)
            try:
                copy_tree(origin, made, marks.opaque)
            finally:
                os.close(made)
        finally:
            os.close(origin)
    except OSError as error:
        raise from_oserror(error, "copying a layer in", home) from error
