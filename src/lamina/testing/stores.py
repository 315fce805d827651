"""A whole store of images in a scratch directory, to be closed, reopened and looked into."""

import io
import os
from collections.abc import Sequence

from lamina.content.directory import BlobStore
from lamina.drivers.catalog import entry
from lamina.images.store import ImageStore
from lamina.layers.store import LayerStore
from lamina.metadata.root import StoreRoot
from lamina.spec.imageconfig import ImageConfig
from lamina.spec.strictjson import Json
from lamina.testing.sample_images import sample
from lamina.values.digest import ChainID, ImageID
from lamina.values.reference import Reference


class ScratchStore:
    """Layers, blobs and images at `path`, on a driver of the catalogue."""

    def __init__(self, path: str, driver: str = "vfs") -> None:
        self.path = path
        self.driver_name = driver
        self.open()

    def open(self) -> None:
        """Open it, as every command does."""
        made = entry(self.driver_name)
        self.root = StoreRoot.open(self.path)
        self.layers = LayerStore(
            self.root, lambda: made.make(self.root.folder(made.home), self.root.folder("run"))
        )
        self.blobs = BlobStore(self.root.folder("blobs"), self.root.folder("staging"))
        self.images = ImageStore(self.root, self.blobs, self.layers)

    def close(self) -> None:
        """Close it; what nothing refers to may then be collected."""
        self.layers.close()
        self.root.close()

    def reopen(self) -> None:
        """Close and open it again."""
        self.close()
        self.open()

    def make(self, *layers: str | bytes, names: Sequence[str] = (), **fields: Json) -> ImageID:
        """An image of layers stated in the language of trees; `fields` are the config's."""
        made = sample(*layers, names=(), **fields)
        top: ChainID | None = None
        for tar in made.layers:
            top = self.layers.register(top, io.BytesIO(tar)).chain_id
        return self.images.create(
            ImageConfig.parse(made.config), tuple(Reference.parse(name) for name in names)
        )

    def files(self) -> list[str]:
        """What lies in the folders that grow with images."""
        found = []
        used = entry(self.driver_name)
        home = os.path.join(used.home, used.folder).rstrip("/")
        for name in ("blobs/sha256", "index", "staging", "trash", home):
            path = os.path.join(self.path, name)
            if os.path.isdir(path):
                found += [f"{name}/{each}" for each in sorted(os.listdir(path))]
        return [each for each in found if not each.endswith(("/l", "/backingFsBlockDev"))]
