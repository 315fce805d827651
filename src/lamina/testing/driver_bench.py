"""A driver as cases see it: layers stated in the language of `lamina.testing.trees`.

What the suite of `lamina.testing.driver_suite`, and every test of one driver alone, works with.
"""

import io
import os
import secrets
from collections.abc import Callable

from lamina.archive.reader import read
from lamina.archive.results import Placement
from lamina.drivers.api import Driver, SharesMounts
from lamina.fs.mounting import attach, in_private_namespace
from lamina.testing.trees import describe, tar_of
from lamina.values.ids import LayerID


def _ignore(_placement: Placement) -> None:
    return None


class Bench:
    """A driver with short words for what the cases do to it."""

    def __init__(self, driver: Driver, scratch: str) -> None:
        self.driver = driver
        self.scratch = scratch
        self.trash = os.path.join(scratch, "trash")
        self.target = os.path.join(scratch, "mounted")
        os.makedirs(self.trash, exist_ok=True)
        os.makedirs(self.target, exist_ok=True)

    def close(self) -> None:
        """Give up what the driver holds."""
        if isinstance(self.driver, SharesMounts):
            self.driver.close()

    def layer(self, text: str, parent: LayerID | None = None) -> LayerID:
        """A committed layer of what `text` states, over `parent`."""
        return self.layer_of_tar(tar_of(text), parent)

    def layer_of_tar(self, tar: bytes, parent: LayerID | None = None) -> LayerID:
        layer = LayerID.from_random(secrets.token_bytes(32))
        self.driver.create(layer, parent)
        self.driver.apply(layer, parent, read(io.BytesIO(tar)), _ignore)
        self.driver.commit(layer)
        return layer

    def stack(self, *texts: str) -> LayerID:
        """Layers upon each other; gives the topmost."""
        top: LayerID | None = None
        for text in texts:
            top = self.layer(text, top)
        assert top is not None
        return top

    def writable(self, parent: LayerID | None) -> LayerID:
        layer = LayerID.from_random(secrets.token_bytes(32))
        self.driver.create_rw(layer, parent)
        return layer

    def inside(self, layer: LayerID, work: Callable[[str], object], *, writable: bool) -> object:
        """Run `work` on the path where `layer` is mounted, in a namespace of its own."""
        plan = self.driver.mounts(layer, writable=writable)

        def mounted() -> object:
            attach(plan, self.target)
            return work(self.target)

        return in_private_namespace(mounted)

    def tree(self, layer: LayerID) -> list[str]:
        """The merged tree as a process sees it."""
        found = self.inside(layer, describe, writable=False)
        assert isinstance(found, list)
        return found

    def changes(self, layer: LayerID, parent: LayerID | None) -> list[str]:
        """The changes in docker's notation, as `A /path`."""
        return [
            f"{change.kind} /{change.path.decode()}"
            for change in self.driver.changes(layer, parent)
        ]
