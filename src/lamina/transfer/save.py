"""Images from the store into a docker archive, and a tree into a plain tar."""

from collections.abc import Mapping

from lamina.archive.diff import whole_tree
from lamina.archive.entry import Write
from lamina.archive.writer import write
from lamina.fs.tree import TreeView
from lamina.images.dockerarchive import ArchiveWriter
from lamina.images.store import ImageStore
from lamina.images.tape import StreamTape, Tape
from lamina.layers.store import LayerStore
from lamina.spec.imageconfig import ImageConfig
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
    write_docker_archive(wanted, images, layers, StreamTape(out))


def write_docker_archive(
    wanted: Mapping[ImageID, list[str]], images: ImageStore, layers: LayerStore, tape: Tape
) -> None:
    """Write images, each with the names it is to have; raises `StoreDamaged`."""
    archive = ArchiveWriter(tape)
    for image, names in wanted.items():
        familiar = dict.fromkeys(Reference.parse(name).familiar for name in names)
        config = images.config(image)
        archive.add(image, config, list(familiar), _Exported(config, layers, tape))
    archive.finish()


class _Exported:
    """Writes an image's layers as they came."""

    def __init__(self, config: ImageConfig, layers: LayerStore, tape: Tape) -> None:
        self._chain = chain_ids(config.diff_ids)
        self._layers = layers
        self._tape = tape

    def __call__(self, path: str, number: int) -> None:
        chain = self._chain[number]
        with self._tape.member(path, self._layers.tar_size(chain)) as write:
            self._layers.export(chain, write)


def export_tree(tree: TreeView, out: Write) -> None:
    """Write a whole tree as one plain tar."""
    write(whole_tree(tree), out)
