"""Images from archives and layouts into the store.

Nothing of an image is visible before every layer was verified against its diff ID; a layer that
is here is not even opened.
"""

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from lamina.archive.compress import detect, open_decompressed
from lamina.content.verified import ByteStream
from lamina.errors import BadArchive, DigestMismatch, from_oserror
from lamina.fs.atomic import write_all
from lamina.fs.reading import DescriptorStream
from lamina.images import dockerarchive, ocilayout
from lamina.images.api import TravellingImage, TravellingLayer
from lamina.images.members import DirectoryMembers, Members, TarMembers
from lamina.images.store import ImageStore, KeptLayer
from lamina.layers.store import LayerStore
from lamina.metadata.blobs import BlobRow
from lamina.transfer.laying import load_layers
from lamina.transfer.naming import named
from lamina.values.digest import BlobDigest, ImageID
from lamina.values.events import Sink, ignore

_CHUNK = 1 << 20


class Loaded(NamedTuple):
    """One image that is here now; `names` are familiar, `replaced` those that pointed elsewhere."""

    image: ImageID
    names: tuple[str, ...]
    replaced: tuple[str, ...]


def load(
    source: str | ByteStream,
    images: ImageStore,
    layers: LayerStore,
    *,
    platform: tuple[str, str],
    events: Sink = ignore,
) -> list[Loaded]:
    """Load every image of an archive (a path or a stream, compressed or not) or a layout.

    Raises `BadInput` or `StorageError`; nothing of the offending image is left then. Ends with
    one barrier.
    """
    with named(source):
        with _members(source, layers) as members:
            found = _images(members, platform)
            loaded = [load_one(image, images, layers, events) for image in found]
        if not loaded:
            raise BadArchive("the archive holds no image")
    layers.barrier()
    return loaded


def _images(members: Members, platform: tuple[str, str]) -> list[TravellingImage]:
    if dockerarchive.is_archive(members):
        return list(dockerarchive.images(members))
    if ocilayout.is_layout(members):
        return list(ocilayout.images(members, platform))
    dockerarchive.refuse_unknown(members)
    return []


@contextmanager
def _members(source: str | ByteStream, layers: LayerStore) -> Iterator[Members]:
    """The files of the source; a stream or a compressed archive is unrolled into `staging/`."""
    members: DirectoryMembers | TarMembers
    if not isinstance(source, str):
        members = TarMembers(_unrolled(source, layers))
    elif os.path.isdir(source):
        members = _directory(source)
    else:
        members = TarMembers(_plain_file(source, layers))
    try:
        yield members
    finally:
        members.close()


def _directory(path: str) -> DirectoryMembers:
    try:
        return DirectoryMembers(path)
    except OSError as error:
        raise from_oserror(error, "reading", path) from error


def _plain_file(path: str, layers: LayerStore) -> int:
    """A descriptor of the file, or, where that cannot be sought in, of its plain bytes."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise from_oserror(error, "reading", path) from error
    try:
        regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
        if regular and detect(os.pread(descriptor, 16, 0)) == "none":
            return os.dup(descriptor)
        return _unrolled(DescriptorStream(descriptor), layers)
    finally:
        os.close(descriptor)


def _unrolled(stream: ByteStream, layers: LayerStore) -> int:
    """The plain bytes of a stream in a file that has no name."""
    folder = layers.root.folder("staging")
    try:
        descriptor = _nameless(folder, layers.root.scratch("unrolled"))
    except OSError as error:
        raise from_oserror(error, "writing to", folder) from error
    try:
        with open_decompressed(stream) as plain:
            while data := plain.read(_CHUNK):
                write_all(descriptor, data)
        os.lseek(descriptor, 0, os.SEEK_SET)
    except OSError as error:
        os.close(descriptor)
        raise from_oserror(error, "writing to", folder) from error
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _nameless(folder: str, path: str) -> int:
    """A new file that goes with its descriptor; for a moment with a name where it must have one."""
    flags = os.O_RDWR | os.O_CLOEXEC
    try:
        return os.open(folder, flags | os.O_TMPFILE, 0o600)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
            raise
    descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
    os.unlink(path)
    return descriptor


def load_one(
    image: TravellingImage, images: ImageStore, layers: LayerStore, events: Sink
) -> Loaded:
    """Take one image in, whatever it travelled in; nothing of it is left when that fails.

    Raises `BadInput` or `StorageError`. Durable only after `layers.barrier`.
    """
    before = {name: images.pointed_at(str(name)) for name in image.names}
    with images.all_or_nothing():
        read = load_layers(image, layers, events)
        kept = _keep_blobs(image, images, layers, read)
        made = images.create(image.config, image.names, manifest=image.manifest, kept=kept)
    replaced = [name for name, old in before.items() if old is not None and old != made]
    return Loaded(
        made,
        tuple(name.familiar for name in image.names),
        tuple(name.familiar for name in replaced),
    )


def _keep_blobs(
    image: TravellingImage, images: ImageStore, layers: LayerStore, read: frozenset[BlobDigest]
) -> tuple[KeptLayer, ...]:
    """Keep compressed layers as they came, so that a later push has the same digests.

    Raises `DigestMismatch` for one that is not the layer that the config names.
    """
    if image.manifest is None:
        return ()
    kept = []
    for layer in image.layers:
        if layer.blob is None or str(layer.blob.digest) == str(layer.diff_id):
            continue
        facts = layer.blob
        if facts.digest not in read and not images.is_known(facts.digest, layer.diff_id):
            _read_through(layer)
        images.announce_blob(BlobRow(facts.digest, facts.size, facts.media_type, layer.diff_id))
        if not images.blobs.has(facts.digest):
            with layer.open() as stream:
                images.blobs.put(stream, owner=layers.root.lease, expect=facts.digest)
        kept.append(KeptLayer(facts.digest, facts.size, facts.media_type, layer.diff_id))
    return tuple(kept)


def _read_through(layer: TravellingLayer) -> None:
    """Read a layer that is here already, to see that its blob is that layer."""
    counted = hashlib.sha256()
    with layer.open() as stream, open_decompressed(stream, counted.update) as plain:
        plain.drain()
    found = f"sha256:{counted.hexdigest()}"
    if found != layer.diff_id:
        raise DigestMismatch(f"the layer is {found}, not {layer.diff_id} as was promised")
