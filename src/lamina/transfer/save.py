"""Images from the store into a docker archive or an OCI one, and a tree into a plain tar."""

from collections.abc import Mapping

from lamina.archive.diff import whole_tree
from lamina.archive.entry import Write
from lamina.archive.writer import write
from lamina.errors import ImageNotFound
from lamina.fs.tree import TreeView
from lamina.images import ocilayout
from lamina.images.dockerarchive import ArchiveWriter
from lamina.images.store import ImageStore
from lamina.images.tape import StreamTape, Tape
from lamina.images.telling import announce
from lamina.layers.store import LayerStore
from lamina.spec.imageconfig import ImageConfig
from lamina.values.digest import ImageID, chain_ids
from lamina.values.events import ignore
from lamina.values.reference import Reference

FORMS = ("docker", "oci")


def save(
    names: list[str], images: ImageStore, layers: LayerStore, out: Write, form: str = "docker"
) -> None:
    """Write the images that `names` mean as one archive; a name given is a name kept.

    A repository without a tag means all of its tags; `form` is one of `FORMS`. Raises
    `ImageNotFound` before the first byte, or `StoreDamaged`.
    """
    wanted: dict[ImageID, list[str]] = {}
    for text in names:
        for image, name in images.meant(text):
            wanted.setdefault(image, []).extend([name] if name is not None else [])
    write = write_docker_archive if form == "docker" else write_oci_archive
    write(wanted, images, layers, StreamTape(out))
    for image in wanted:
        announce(images.root, "save", image)


def write_docker_archive(
    wanted: Mapping[ImageID, list[str]], images: ImageStore, layers: LayerStore, tape: Tape
) -> None:
    """Write images, each with the names it is to have; raises `StoreDamaged`.

    What is to be written stays until the store is closed. Raises `ImageNotFound` before the first
    byte.
    """
    configs = {image: images.config(image) for image in wanted}
    chains = [each.top_chain for each in configs.values() if each.top_chain is not None]
    if chains and not layers.hold(*chains):
        raise ImageNotFound("an image that is to be saved was removed just now")
    archive = ArchiveWriter(tape)
    for image, names in wanted.items():
        familiar = dict.fromkeys(Reference.parse(name).familiar for name in names)
        archive.add(image, configs[image], list(familiar), Exported(configs[image], layers, tape))
    archive.finish()


def write_oci_archive(
    wanted: Mapping[ImageID, list[str]], images: ImageStore, layers: LayerStore, tape: Tape
) -> None:
    """Write images as an OCI layout, under the manifests that a push would give them.

    Layers that no compressed form is kept of are compressed, and kept so. Raises `StorageError`.
    """
    from lamina.transfer import graph
    from lamina.transfer.copying import copy
    from lamina.transfer.ends.ociarchive import OciArchiveSink
    from lamina.transfer.ends.stored import content_of

    sink = OciArchiveSink(tape, {})
    for image, names in wanted.items():
        with content_of(image, images, layers, ignore) as content:
            found = graph.whole(content)
            for sink.annotations in [_annotations(name) for name in dict.fromkeys(names)] or [{}]:
                copy(found, content, sink)
    sink.finish()


def _annotations(name: str) -> dict[str, str]:
    """What an image is called in a layout: podman and skopeo read the one, containerd the other."""
    return {ocilayout.REF_NAME: name, ocilayout.FULL_NAME: name}


class Exported:
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
