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

    Raises `ImageNotFound` before the first byte, or `StoreDamaged`.
    """
    wanted: dict[ImageID, list[str]] = {}
    for name in names:
        image = images.resolve(name)
        meant = images.names_meant(name, image)
        wanted.setdefault(image, []).extend(meant)
    archive = ArchiveWriter(out)
    for image, meant in wanted.items():
        _add(archive, image, meant, images, layers)
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
