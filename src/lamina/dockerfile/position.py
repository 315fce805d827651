"""Where an instruction stands, and errors that point there with an excerpt and a caret.

Knows lines and columns; knows no instruction.
"""

from typing import TYPE_CHECKING, NamedTuple

from lamina.errors import DockerfileError

if TYPE_CHECKING:  # only what goes wrong is shown
    from lamina.dockerfile.excerpt import Spot


class Position(NamedTuple):
    """First and last line of an instruction, counted from one, and its text as written.

    `lines` are all of the file's, for what stands around it; empty where nobody has them.
    `joined` is the instruction as one line, where it is written on several.
    """

    file: str
    first: int
    last: int
    source: str
    lines: tuple[str, ...] = ()
    joined: str = ""

    @property
    def title(self) -> str:
        """The instruction in one line, as people know it from a build's list of steps."""
        return " ".join((self.joined or self.source).split())

    def error(self, brief: str, *, hint: str = "", near: str = "") -> DockerfileError:
        """An error here; a caret stands under `near`, in the first line that has it."""
        spot = self._spot(near)
        indent = len(self.source) - len(self.source.lstrip())
        return DockerfileError(
            brief,
            file=self.file,
            line=spot.line if spot is not None else self.first,
            column=1 + (spot.column if spot is not None else indent),
            excerpt=self._excerpt(spot),
            hint=hint,
        )

    @property
    def excerpt(self) -> str:
        """The instruction with what stands around it, as a text for people."""
        return self._excerpt(None)

    def _spot(self, near: str) -> "Spot | None":
        from lamina.dockerfile.excerpt import Spot

        for number, line in enumerate(self.source.split("\n"), self.first):
            if near and near in line:
                return Spot(number, line.find(near), len(near))
        return None

    def _excerpt(self, spot: "Spot | None") -> str:
        from lamina.dockerfile.excerpt import Passage, excerpt

        lines, start = (self.lines, 1) if self.lines else (self.source.split("\n"), self.first)
        passage = Passage(lines, self.first, self.last, start)
        return excerpt(
            f"{self.file}:{spot.line if spot is not None else self.first}", passage, spot
        )
