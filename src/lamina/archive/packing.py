"""How a layer is compressed for its way: the kind, the level, and the codec for both."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, Protocol, Self

from lamina.archive.entry import Write
from lamina.errors import UsageError

_LEVELS = {
    "gzip": range(1, 10),
    "zstd": range(1, 20),  # beyond, every reader would need over 8 MiB for its window
}


class Codec(Protocol):
    """Takes bytes by `write`; `finish` gives out the end, `close` stops it wherever it is."""

    def write(self, data: bytes, /) -> None: ...

    def finish(self) -> None: ...

    def close(self) -> None: ...


class Packing(NamedTuple):
    """gzip or zstd, and a level where it is not the codec's own."""

    kind: str = "gzip"
    level: int | None = None

    @classmethod
    def checked(cls, kind: str, level: int | None) -> Self:
        """What a user asks for; raises `UsageError`."""
        levels = _LEVELS.get(kind)
        if levels is None:
            raise UsageError(f"layers are not compressed as {kind!r}", hint="use gzip or zstd")
        if level is not None and level not in levels:
            raise UsageError(
                f"{kind} has no level {level}", hint=f"it has {levels[0]} to {levels[-1]}"
            )
        return cls(kind, level)

    def codec(self, out: Write) -> Codec:
        """A codec that gives its data to `out`: the same data for the same bytes."""
        if self.kind == "zstd":
            from lamina.archive.zstandard import Zstd

            return Zstd(out) if self.level is None else Zstd(out, self.level)
        from lamina.archive.gzipping import Gzip

        return Gzip(out) if self.level is None else Gzip(out, self.level)

    @contextmanager
    def writer(self, out: Write) -> Iterator[Write]:
        """A way to write bytes that reach `out` compressed, all of them when the block ends."""
        codec = self.codec(out)
        try:
            yield codec.write
            codec.finish()
        finally:
            codec.close()
