"""Looking into an image, wherever it lies: files, bytes, instructions, by what its layers say.

What does the work is loaded when it is asked for.
"""

import os
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from lamina.spec.imageconfig import ImageConfig
from lamina.values.digest import ChainID

if TYPE_CHECKING:  # a listing of images must not pay for what analyses them
    from lamina.analyze.compare import Comparison
    from lamina.analyze.find import Found, Taken
    from lamina.analyze.instruction import Step
    from lamina.analyze.listing import FileFacts
    from lamina.analyze.merged import MergedTree
    from lamina.analyze.packages import Package
    from lamina.analyze.portrait import Portrait
    from lamina.analyze.waste import Waste
    from lamina.dockerfile import Dockerfile


class Inside(ABC):
    """One image's inside; everything given is a value."""

    @property
    @abstractmethod
    def config(self) -> ImageConfig:
        """Its config."""

    @abstractmethod
    def tree(self) -> "MergedTree":
        """Its merged tree with every path's past."""

    @abstractmethod
    def packages(self, tree: "MergedTree") -> "tuple[Package, ...]":
        """The packages that the databases in its tree tell."""

    def listdir(self, path: str = "/") -> "tuple[FileFacts, ...]":
        """What a directory of it holds, sorted by name; raises `PathNotFound`."""
        from lamina.analyze.listing import listing

        return listing(self.tree(), os.fsencode(path))

    @abstractmethod
    def release(self, tree: "MergedTree") -> bytes:
        """Its os-release file; none where it has none."""

    def shared(self) -> frozenset[ChainID]:
        """The chains of layers that another image has, too."""
        return frozenset()

    def waste(
        self, *, dockerfile: "Dockerfile | None" = None, tree: "MergedTree | None" = None
    ) -> "Waste":
        """Which bytes nobody sees, what wastes them, and the repair, by its layers' indexes.

        With the Dockerfile it was built from, steps are told with their lines. `tree` is its
        merged tree, where that is at hand.
        """
        from lamina.engine.analysis import waste_of

        return waste_of(self.config, tree or self.tree(), self.shared(), dockerfile)

    def portrait(self, name: str, *, most: int = 4000) -> "Portrait":
        """Its bytes by layer, instruction and path, called `name`, in about `most` areas."""
        from lamina.engine.analysis import portrait_of

        return portrait_of(name, self.config, self.tree(), self.shared(), most)

    def sbom(self, name: str) -> bytes:
        """Its packages as SPDX 2.3 in JSON, called `name`; equal images give equal bytes."""
        from lamina import __version__
        from lamina.analyze import spdx

        tree = self.tree()
        distribution = spdx.distribution_of(self.release(tree))
        packages = self.packages(tree)
        return spdx.document(name, self.config, packages, distribution, f"lamina-{__version__}")

    def compare(
        self, other: "Inside", *, trees: "tuple[MergedTree, MergedTree] | None" = None
    ) -> "Comparison":
        """What differs in another image: config, layers, packages, files.

        `trees` are the merged trees of both, where they are at hand.
        """
        from lamina.analyze.compare import Beside, compared

        mine, others = trees or (self.tree(), other.tree())
        return compared(
            Beside(self.config, mine, self.packages(mine)),
            Beside(other.config, others, other.packages(others)),
        )

    def find(self, pattern: str) -> tuple["Found", ...]:
        """Every version of the paths that fit (`lamina.analyze.find`), gone ones included."""
        from lamina.analyze.find import find

        return tuple(find(self.tree(), os.fsencode(pattern)))

    def steps(self) -> "tuple[Step, ...]":
        """What made each layer, lowest first, as its history tells it."""
        from lamina.analyze.instruction import steps

        config = self.config
        return tuple(steps(config.history, len(config.diff_ids)))

    def du(self, path: str = "/", *, depth: int = 1, files: bool = False) -> "tuple[Taken, ...]":
        """What directories take up, each after what it holds; raises `PathNotFound`."""
        from lamina.analyze.find import taken
        from lamina.errors import PathNotFound

        top = self.tree().resolve(os.fsencode(path))
        if top is None:
            raise PathNotFound(f"no such path in the image: {path!r}")
        return tuple(taken(top, depth, files=files))
