"""What `docker save` writes, as an end of a copy: whole images, their layers as plain tars."""

import hashlib

from lamina.archive.compress import open_decompressed
from lamina.archive.entry import Write
from lamina.errors import DigestMismatch, ImageNotFound
from lamina.images import dockerarchive
from lamina.images.api import TravellingImage, TravellingLayer
from lamina.images.dockerarchive import ArchiveWriter
from lamina.images.members import Members
from lamina.images.tape import FileTape
from lamina.transfer.notation import numbered
from lamina.values.events import LayerProgress, Sink
from lamina.values.reference import Reference

_CHUNK = 1 << 20
_SEVERAL = 8  # names that an error lists


def chosen(members: Members, ref: str) -> TravellingImage:
    """The image called `ref`, the Nth (`@N`), or (``) the only one; raises `BadInput`.

    Raises `ImageNotFound` for one that is not there, or not the only one.
    """
    if not dockerarchive.is_archive(members):
        dockerarchive.refuse_unknown(members)
    found = list(dockerarchive.images(members))
    number = numbered(ref)
    if number is not None:
        meant = found[number : number + 1]
    else:
        name = Reference.parse(ref).with_default_tag() if ref else None
        meant = [each for each in found if name is None or name in each.names]
    if len(meant) != 1:
        said = "several images" if meant else f"no image {ref}".rstrip()
        raise ImageNotFound(f"the archive has {said}", hint=_listed(found))
    return meant[0]


def _listed(found: list[TravellingImage]) -> str:
    names = [
        each.names[0].familiar if each.names else f"@{at}"
        for at, each in enumerate(found[:_SEVERAL])
    ]
    return f"it has {', '.join(names)}" if names else "it is empty"


def write_image(image: TravellingImage, names: list[str], file: int, events: Sink) -> None:
    """Write an archive of one image to a file's descriptor, each layer inflated and verified.

    Raises `BadInput` or an error of where the image comes from; the file is of no use then.
    """
    tape = FileTape(file)
    archive = ArchiveWriter(tape)

    def layer(path: str, number: int) -> None:
        with tape.growing(path) as write:
            _inflate(image.layers[number], write, events)

    archive.add(image.config.id, image.config, names, layer)
    archive.finish()


def _inflate(layer: TravellingLayer, write: Write, events: Sink) -> None:
    name = (layer.blob.digest if layer.blob is not None else layer.diff_id).short
    counted = hashlib.sha256()
    with layer.open() as stream, open_decompressed(stream, counted.update) as plain:
        while data := plain.read(_CHUNK):
            write(data)
    found = f"sha256:{counted.hexdigest()}"
    if found != layer.diff_id:
        raise DigestMismatch(f"the layer is {found}, not {layer.diff_id} as was promised")
    events(LayerProgress(name, "copied", 0, 0))
