"""What is closed at the end of a `with` block, however it ends."""

from typing import Self


class Closing:
    """Gives a class with a `close` the manners of a context manager."""

    __slots__ = ()

    def close(self) -> None:
        """Let go of what is held."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()
