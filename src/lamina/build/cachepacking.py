"""Tars made into blobs as a cache that is written wishes for them."""

import os
from collections.abc import Callable
from contextlib import ExitStack

from lamina.archive.entry import Write
from lamina.build.cachewishes import CacheTo
from lamina.build.record import Blob
from lamina.spec import mediatypes
from lamina.spec.manifest import Descriptor
from lamina.transfer.ends.packing import pack_layer


class Packer:
    """Packs for one cache; the blobs lie in files of `scratch`, which go with `files`."""

    def __init__(self, wish: CacheTo, scratch: Callable[[], int], files: ExitStack) -> None:
        self.wish = wish
        self._scratch = scratch
        self._files = files

    def takes(self, about: Descriptor) -> bool:
        """Whether a blob of another cache may be handed on as it is."""
        packing = self.wish.packing
        if self.wish.again or (packing is not None and packing.level is not None):
            return False
        return about.media_type == mediatypes.layer(packing.kind if packing is not None else "")

    def pack(self, fill: Callable[[Write], object]) -> Blob:
        """The tar that `fill` writes, as it is to travel."""
        file = self._scratch()
        self._files.callback(os.close, file)
        packed = pack_layer(file, fill, self.wish.packing)
        return Blob(packed.blob, packed.open)
