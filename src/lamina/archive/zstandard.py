"""zstd data that is the same wherever the same libzstd makes it, whatever number of cores does.

One frame with its checksum, in jobs whose borders hang on the level alone. The library is
Python's own from 3.14 on.
"""

import os
import sys
from collections.abc import Callable

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["DEFAULT_LEVEL", "Zstd", "zstd"]
DEFAULT_LEVEL = 3
_WORKERS = 4  # each holds a job of up to 32 MiB


class Zstd:
    """Takes bytes by `write` and gives zstd data to `out`; `finish` ends it."""

    def __init__(self, out: Callable[[bytes], object], level: int = DEFAULT_LEVEL) -> None:
        parameter = zstd.CompressionParameter
        self._out = out
        self._codec = zstd.ZstdCompressor(
            options={
                int(parameter.compression_level): level,
                int(parameter.checksum_flag): 1,
                int(parameter.nb_workers): min(os.cpu_count() or 1, _WORKERS),
            }
        )

    def write(self, data: bytes) -> None:
        """Take some bytes."""
        made = self._codec.compress(data)
        if made:
            self._out(made)

    def finish(self) -> None:
        """Give out what is left, and the end."""
        self._out(self._codec.flush())

    def close(self) -> None:
        """Nothing is left to end."""
