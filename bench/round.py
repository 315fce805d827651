"""One round of a bench: its disk, who is measured, and where the samples go.

A scenario takes its samples through `Round.take`; nothing is judged here.
"""

import os
import subprocess
from collections.abc import Callable, Iterable
from typing import NamedTuple

from bench.clock import peak, timed
from bench.contenders import Contender
from bench.fixtures import Fixtures
from bench.ground import Ground

_ENGINES = ("lamina", "docker", "podman")


class Round:
    """One round's ground, contenders and fixtures, and where its samples go."""

    def __init__(
        self,
        number: int,
        ground: Ground,
        contenders: dict[str, Contender],
        made: Fixtures,
        note: Callable[[str, str, float], None],
    ) -> None:
        self.number = number
        self.ground = ground
        self.contenders = contenders
        self.fixtures = made
        self._note = note
        self._imported: set[str] = set()

    def turns(self, names: Iterable[str] = _ENGINES) -> list[Contender]:
        """The contenders; who begins changes from round to round."""
        chosen = [self.contenders[name] for name in names]
        start = self.number % len(chosen)
        return chosen[start:] + chosen[:start]

    def take(self, scenario: str, name: str, argv: list[str], contender: Contender) -> float:
        """Measure one run, with the disk at rest before it."""
        self.settle()
        seconds = timed(argv, contender.env)
        self._note(scenario, name, seconds)
        return seconds

    def repeat(self, scenario: str, name: str, seconds: float) -> None:
        """Have a sample in another row, too."""
        self._note(scenario, name, seconds)

    def take_peak(
        self,
        name: str,
        argv: list[str],
        contender: Contender,
        stdin: str = os.devnull,
        scenario: str = "memory",
    ) -> None:
        """Measure the memory of one run that reads the file `stdin`."""
        self._note(scenario, name, peak(argv, contender.env, stdin=stdin))

    def settle(self) -> None:
        """Write out what earlier runs left dirty, so that nobody pays for another."""
        subprocess.run(["sync", "-f", self.ground.disk], check=True)

    def prepare(self, contender: Contender, *arguments: str) -> None:
        """A command that is not measured."""
        timed(contender.command(*arguments), contender.env)

    def need_root_image(self, contender: Contender) -> None:
        """Have root:1 in this contender's store; importing it is another scenario's figure."""
        if contender.name not in self._imported:
            self.prepare(contender, "import", self.fixtures.rootfs, "root:1")
            self._imported.add(contender.name)

    def has_root_image(self, contender: Contender) -> None:
        """Say that root:1 is there already."""
        self._imported.add(contender.name)

    def forget_root_image(self, contender: Contender) -> None:
        """Say that root:1 is there no more."""
        self._imported.discard(contender.name)


class Scenario(NamedTuple):
    """`once` where repeating shows nothing new."""

    name: str
    title: str
    measure: Callable[[Round], None]
    once: bool = False
