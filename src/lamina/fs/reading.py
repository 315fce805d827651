"""An open file as a stream of bytes. Owns no descriptor."""

import os


class DescriptorStream:
    """What can be read from a descriptor, which stays the caller's."""

    def __init__(self, descriptor: int) -> None:
        self._fd = descriptor

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes; none at the end. Raises OSError."""
        return os.read(self._fd, size)
