"""From a layer's stream to its files: the tar as it came, and the image of what it means."""

import os
from collections.abc import Callable, Iterable

from lamina.archive.apply import apply_onto
from lamina.archive.entry import Segment
from lamina.archive.erofs.heap import Heap
from lamina.archive.erofs.keeping import Contents
from lamina.archive.erofs.tree import ImageTree
from lamina.archive.erofs.writer import write_image
from lamina.archive.results import Figures, Placement
from lamina.errors import from_oserror
from lamina.fs.tree import TreeView

IMAGE = "layer.erofs"


def write_layer(
    folder: str,
    segments: Iterable[Segment],
    lower: TreeView | None,
    on_placed: Callable[[Placement], None] | None,
) -> Figures:
    """Write layer.tar, layer.erofs and, where it is needed, layer.data into `folder`.

    `lower` shows the layers below. Raises `BadArchive` naming the member, or a `StorageError`;
    what was written until then is the caller's to remove.
    """
    heap = Heap(folder)
    contents = Contents(folder)
    try:
        tree = ImageTree(lower, contents, heap)
        kept = contents.passing(segments)
        figures = apply_onto(tree, kept, lower=lower, on_placed=on_placed)
        write_image(os.path.join(folder, IMAGE), tree, contents.devices())
        return figures
    except OSError as error:
        raise from_oserror(error, "writing a layer into", folder) from error
    finally:
        contents.close()
        heap.close()
