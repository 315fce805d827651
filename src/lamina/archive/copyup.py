"""Copying one file of the layers below into the layer that is being written, as it is.

overlayfs does the same when a lower file is linked to; with index=off the copy is another file.
"""

import os
import stat

from lamina.archive.entry import FILE, SYMLINK, Entry
from lamina.archive.making import finish_file, kind_of, make_node, make_symlink, open_new
from lamina.fs.copy import copy_file
from lamina.fs.tree import TreeView


def copy_up(
    lower: TreeView, path: bytes, status: os.stat_result, directory: int, name: bytes
) -> None:
    """Make `name` in `directory` what `lower` has at `path`, with all metadata; raises OSError."""
    entry = entry_below(lower, path, status)
    if entry.kind == SYMLINK:
        make_symlink(directory, name, entry)
    elif entry.kind != FILE:
        make_node(directory, name, entry)
    else:
        _copy_file(lower, entry, directory, name)


def entry_below(lower: TreeView, path: bytes, status: os.stat_result) -> Entry:
    """What `lower` has at `path`, which is no directory, as a member; raises OSError."""
    kind = kind_of(status)
    return Entry(
        path,
        kind,
        stat.S_IMODE(status.st_mode),
        status.st_uid,
        status.st_gid,
        status.st_size if kind == FILE else 0,
        status.st_mtime_ns,
        lower.readlink(path) if kind == SYMLINK else b"",
        os.major(status.st_rdev),
        os.minor(status.st_rdev),
        lower.xattrs(path),
    )


def _copy_file(lower: TreeView, entry: Entry, directory: int, name: bytes) -> None:
    source = lower.open(entry.name)
    try:
        made = open_new(directory, name, entry)
        try:
            copy_file(source, made, entry.size)
            finish_file(made, entry)
        finally:
            os.close(made)
    finally:
        os.close(source)
