"""Looking into an image: its layers, files and bytes. What does the work is loaded when asked."""

import os
from typing import TYPE_CHECKING

from lamina.archive.entry import Write
from lamina.engine.parts import Parts
from lamina.layers.layer import Layer
from lamina.metadata.images import ImageRow

if TYPE_CHECKING:  # a listing of images must not pay for what analyses them
    from lamina.analyze.compare import Comparison
    from lamina.analyze.find import Found, Taken
    from lamina.analyze.instruction import Step
    from lamina.analyze.merged import MergedTree
    from lamina.analyze.waste import Waste
    from lamina.dockerfile import Dockerfile
    from lamina.engine.looking import FileFacts


class Inside:
    """One image's inside; everything given is a value."""

    def __init__(self, store: Parts, row: ImageRow) -> None:
        self._store = store
        self._row = row

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Its layers, lowest first."""
        return self._store.layers.chain(self._row.top_chain)

    def waste(self, *, dockerfile: "Dockerfile | None" = None) -> "Waste":
        """Which bytes nobody sees, what wastes them, and the repair, by its layers' indexes.

        With the Dockerfile it was built from, steps are told with their lines.
        """
        from lamina.engine.analysis import waste_of

        return waste_of(self._store, self._row.id, self.layers, self.tree(), dockerfile)

    def compare(self, other: "Inside") -> "Comparison":
        """What differs in another image: config, layers, packages, files."""
        from lamina.engine.comparing import Side, compared

        sides = (
            Side(each._store, each._row.id, each.layers, each.tree()) for each in (self, other)
        )
        return compared(*sides)

    def find(self, pattern: str) -> tuple["Found", ...]:
        """Every version of the paths that fit (`lamina.analyze.find`), gone ones included."""
        from lamina.analyze.find import find

        return tuple(find(self.tree(), os.fsencode(pattern)))

    def tree(self) -> "MergedTree":
        """Its merged tree with every path's past, by its layers' indexes."""
        from lamina.engine.analysis import merged_tree
        from lamina.errors import StoreDamaged

        try:
            return merged_tree(self._store.layers, self.layers)
        except StoreDamaged:
            self._store.image_store.row(self._row.id)  # or is it just being removed?
            raise

    def steps(self) -> "tuple[Step, ...]":
        """What made each layer, lowest first, as its history tells it."""
        from lamina.analyze.instruction import steps

        config = self._store.image_store.config(self._row.id)
        return tuple(steps(config.history, self._row.layers))

    def du(self, path: str = "/", *, depth: int = 1, files: bool = False) -> "tuple[Taken, ...]":
        """What directories take up, each after what it holds; raises `PathNotFound`."""
        from lamina.analyze.find import taken
        from lamina.errors import PathNotFound

        top = self.tree().resolve(os.fsencode(path))
        if top is None:
            raise PathNotFound(f"no such path in the image: {path!r}")
        return tuple(taken(top, depth, files=files))

    def listdir(self, path: str = "/") -> "tuple[FileFacts, ...]":
        """What a directory of it holds, sorted by name; raises `PathNotFound`."""
        from lamina.engine.looking import listing

        return listing(self._store.layers, self._row.top_chain, path)

    def read(self, path: str, out: Write) -> None:
        """Write what a file of it holds, links followed inside; raises `PathNotFound`."""
        from lamina.engine.looking import content

        content(self._store.layers, self._row.top_chain, path, out)
