"""What says that a directory is a store, and which: the file `store`, and what lies beside it."""

from typing import NamedTuple

from lamina.errors import StoreDamaged

FORMAT = 1
LOCK = ".lock"
RESERVE = "reserve"


class Identity(NamedTuple):
    """What the `store` file says."""

    uuid: str
    format: int
    generation: int

    def text(self) -> bytes:
        """The file's bytes."""
        return (
            f"lamina store\nuuid={self.uuid}\nformat={self.format}\ngeneration={self.generation}\n"
        ).encode()

    @classmethod
    def parse(cls, text: str, path: str) -> "Identity":
        """Read the file's text; raises `StoreDamaged`."""
        lines = text.splitlines()
        facts = dict(line.partition("=")[::2] for line in lines[1:])
        try:
            if lines[0] != "lamina store":
                raise ValueError
            return cls(facts["uuid"], int(facts["format"]), int(facts["generation"]))
        except (IndexError, KeyError, ValueError):
            raise StoreDamaged(f"{path} is not the identity of a Lamina store") from None
