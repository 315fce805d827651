"""Images that are not in the store, looked into where they lie: `oci:folder`, `docker://name`, ...

Each layer's tar passes by once and leaves in memory what an index would say of it; nothing is
unpacked, and nothing is written. All of it is hostile: every byte is held against the digests of
the image's config, and what is remembered is bounded.
"""

import hashlib
from collections.abc import Callable, Generator, Iterator

from lamina.analyze import packages
from lamina.analyze.merged import MergedTree, Node
from lamina.analyze.packages import Package
from lamina.archive.compress import open_decompressed
from lamina.archive.entry import Body, Piece, Segment
from lamina.archive.index import Record, records
from lamina.archive.reader import read
from lamina.engine.inside import Inside
from lamina.engine.packages import is_database, release, told
from lamina.errors import BadArchive, DigestMismatch
from lamina.images.api import TravellingImage, TravellingLayer
from lamina.spec.imageconfig import ImageConfig
from lamina.values.events import LayerProgress, Sink

_MEMORY = 2 << 30  # bytes for what is said of files: some three million of them
_EACH = 640  # bytes that a path takes up in the tree, measured
_REGION = 120  # bytes of one region of a sparse file


class Elsewhere(Inside):
    """One image as it was when it was read."""

    def __init__(self, config: ImageConfig, tree: MergedTree, kept: dict[bytes, bytes]) -> None:
        self._config = config
        self._tree = tree
        self._kept = kept

    @property
    def config(self) -> ImageConfig:
        """Its config."""
        return self._config

    def tree(self) -> MergedTree:
        """Its merged tree with every path's past."""
        return self._tree

    def packages(self, tree: MergedTree) -> tuple[Package, ...]:
        """The packages that the databases in its tree tell."""
        return told(tree, self._content)

    def release(self, tree: MergedTree) -> bytes:
        """Its os-release file; none where it has none."""
        return release(tree, self._content)

    def _content(self, node: Node) -> bytes:
        return self._kept.get(node.now.digest, b"") if node.now is not None else b""


def read_whole(image: TravellingImage, events: Sink) -> Elsewhere:
    """Read every layer of an image; raises `BadInput` or an error of where it comes from."""
    reading = _Reading()
    for layer in image.layers:
        name = (layer.blob.digest if layer.blob is not None else layer.diff_id).short
        events(LayerProgress(name, "reading", 0, 0))
        reading.add(layer)
        events(LayerProgress(name, "read", 0, 0))
    return Elsewhere(image.config, reading.tree, reading.kept)


def verified_segments(layer: TravellingLayer) -> Generator[Segment, None, None]:
    """A layer's members as they pass; raises `DigestMismatch` at the end of a wrong one."""
    counted = hashlib.sha256()
    with layer.open() as stream, open_decompressed(stream, counted.update) as plain:
        yield from read(plain)
    found = f"sha256:{counted.hexdigest()}"
    if found != layer.diff_id:
        raise DigestMismatch(f"the layer is {found}, not {layer.diff_id} as was promised")


class Memory:
    """How much may still be remembered of an image's files."""

    def __init__(self) -> None:
        self._left = _MEMORY

    def bounded(
        self, found: Iterator[Record], implied: Callable[[], int] = lambda: 0
    ) -> Iterator[Record]:
        """The same records; `implied` is how many paths there are that none names.

        Raises `BadArchive` when they become too many.
        """
        for record in found:
            said = len(record.name) + len(record.link)
            said += sum(len(key) + len(value) for key, value in record.xattrs)
            self._left -= _EACH + said + _REGION * len(record.sparse or ())
            if self._left < _EACH * implied():
                raise BadArchive("the image has more files than can be looked into")
            yield record


class _Reading:
    """The layers until now."""

    def __init__(self) -> None:
        self.tree = MergedTree()
        self.kept: dict[bytes, bytes] = {}  # package managers' files by their digest
        self._memory = Memory()
        self._left_to_keep = packages.LIMIT

    def add(self, layer: TravellingLayer) -> None:
        """Lay one more layer on top."""
        found = records(self._keeping(verified_segments(layer)))
        self.tree.add_layer(self._memory.bounded(found, lambda: self.tree.implied))

    def _keeping(self, segments: Iterator[Segment]) -> Iterator[Segment]:
        """The same segments; what package managers wrote is remembered as it passes."""
        for segment in segments:
            entry = segment.entry
            if entry is None or entry.sparse is not None or not is_database(entry.name):
                yield segment
            elif 0 < entry.stored <= self._left_to_keep:
                self._left_to_keep -= entry.stored
                body = _Copied(segment.body)
                yield segment._replace(body=body)
                content = b"".join(body.pieces)
                self.kept[hashlib.sha256(content).digest()] = content
            else:
                yield segment


class _Copied:
    """A body of which a copy is kept."""

    def __init__(self, body: Body) -> None:
        self._body = body
        self.pieces: list[bytes] = []

    def read(self, size: int, /) -> Piece:
        """Up to `size` bytes, none at the end."""
        data = self._body.read(size)
        self.pieces.append(bytes(data))
        return data
