"""A build shown to people or to programs: what every way to do so has in common.

`lamina.cli.progresslines` writes lines or JSON, `lamina.cli.live` draws on a terminal.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

from lamina.values.digest import ImageID
from lamina.values.events import Sink, ignore


class Built(NamedTuple):
    """What a build came to: the image, its names, and what finds lines on what each step added."""

    image: ImageID
    names: Sequence[str]
    shares: Callable[[], Sequence[str]]


class Progress(ABC):
    """Shows a build."""

    @property
    @abstractmethod
    def sink(self) -> Sink:
        """What is to be told of every event, from one thread at a time."""

    def running(self) -> AbstractContextManager[None]:
        """Show what happens for the block's time."""
        return nullcontext()

    def suspended(self) -> AbstractContextManager[None]:
        """Leave the terminal to somebody else for the block's time."""
        return nullcontext()

    @abstractmethod
    def finish(self, built: Built) -> None:
        """Say what the build came to."""


class Silent(Progress):
    """Shows nothing."""

    @property
    def sink(self) -> Sink:
        """Nobody listens."""
        return ignore

    def finish(self, built: Built) -> None:
        """Say nothing."""
