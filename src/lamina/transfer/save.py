"""Images from the store into a docker archive, and a tree into a plain tar."""

from lamina.archive.diff import whole_tree
from lamina.archive.entry import Write
from lamina.archive.writer import write
from lamina.fs.tree import TreeView
from lamina.images.dockerarchive import ArchiveWriter
from lamina.images.store import ImageStore
from lamina.layers.store import LayerStore
from lamina.values.digest import ImageID, chain_ids
from lamina.values.reference import Reference


def save(names: list[str], images: ImageStore, layers: LayerStore, out: Write) -> None:
    """Write the images that `names` mean as one archive; a name given is a name kept.

    A repository without a tag means all of its tags. Raises `ImageNotFound` before the first
    byte, or `StoreDamaged`.
    """
    wanted: dict[ImageID, list[str]] = {}
    for text in names:
        for image, name in images.meant(text):
            wanted.setdefault(image, []).extend([name] if name is not None else [])
    archive = ArchiveWriter(out)
    for image, kept in wanted.items():
        _add(archive, image, kept, images, layers)
    archive.finish()


def _add(
    archive: ArchiveWriter,
    image: ImageID,
    names: list[str],
    images: ImageStore,
    layers: LayerStore,
) -> None:
    config = images.config(image)
    chain = chain_ids(config.diff_ids)
    familiar = [Reference.parse(name).familiar for name in names]
    archive.add(
        image,
        config,
        list(dict.fromkeys(familiar)),
        lambda number, sink: layers.export(chain[number], sink),
        lambda number: layers.tar_size(chain[number]),
    )


def export_tree(tree: TreeView, out: Write) -> None:
    """Write a whole tree as one plain tar."""
    write(whole_tree(tree), out)
