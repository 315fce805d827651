"""Finding the program fuse-overlayfs, and what version it is."""

import os
import re

from lamina.errors import ProgramMissing
from lamina.fs.spawn import PATH, read_all, spawn, wait

LEAST = (1, 0)  # before that it kept no trusted attributes: layers would not be those of overlay2
_NAME = "fuse-overlayfs"
_VERSION = re.compile(rb"^fuse-overlayfs: version (\d+)\.(\d+)", re.MULTILINE)


def find() -> str:
    """The program's absolute path; raises `ProgramMissing` naming the package."""
    for folder in PATH.split(":"):
        path = os.path.join(folder, _NAME)
        if os.access(path, os.X_OK):
            return path
    raise ProgramMissing(
        f"there is no program {_NAME}",
        hint=f"install the package {_NAME}, or choose another driver",
    )


def version(program: str) -> tuple[int, int] | None:
    """What the program says of itself; None when it says nothing of the kind. Raises OSError."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    try:
        try:
            child = spawn([program, "--version"], {0: None, 1: writer, 2: writer})
        finally:
            os.close(writer)
        said = read_all(reader)
    finally:
        os.close(reader)
    wait(child)
    found = _VERSION.search(said)
    return (int(found[1]), int(found[2])) if found is not None else None
