"""Does a file system keep the type of an entry in its directory? Asked by reading dirents.

A mount of overlayfs succeeds without it and then lists removed names, so only this tells.
"""

import os

from lamina.kernel.openat import DT_UNKNOWN, directory_entries


def supports_dtype(directory: str) -> bool:
    """Whether the entries of the non-empty `directory` carry their type."""
    return all(kind != DT_UNKNOWN for _, kind in directory_entries(os.path.abspath(directory)))
