"""What a monitor tells of events: lines that whoever reads the store takes into its database.

`<seconds since the epoch> <words>`, appended in one write. The file is bounded; what is before the
last two of them is lost where nobody has looked for that long.
"""

import os
import time

_SIZE = 1 << 16  # bytes


class Journal:
    """The one at `path`."""

    def __init__(self, path: str) -> None:
        self._path = path

    def tell(self, words: str, at: float | None = None) -> None:
        """Write that down; nothing where the disk is full."""
        line = f"{time.time() if at is None else at:.6f} {words}\n".encode()
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            descriptor = os.open(self._path, flags, 0o600)
            try:
                if os.fstat(descriptor).st_size > _SIZE:
                    os.rename(self._path, f"{self._path}.1")
                os.write(descriptor, line)
            finally:
                os.close(descriptor)
        except OSError:
            pass
