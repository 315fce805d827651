"""containers-storage (podman, buildah, CRI-O; `/var/lib/containers/storage`) as a source.

    <driver>-images/images.json         images: names, top layer, documents kept beside
    <driver>-images/<id>/=<base64>      a document, by its name: the config is `sha256:<id>`
    <driver>-layers/layers.json         layers: parent, diff ID, size
    <driver>-layers/<id>.tar-split.gz   how the layer's tar is put together
    <driver>/...                        the layers' files

The layout is that of github.com/containers/storage (images.go, layers.go). Its locks are not
taken: a layer that goes meanwhile is an error that says so, and never a wrong layer.
"""

import base64
import re
from collections.abc import Iterator
from functools import partial
from typing import TypeVar

import msgspec

from lamina.errors import BadDocument, DigestMismatch, ForeignStore, StoreDamaged
from lamina.foreign.api import ForeignImage, tag
from lamina.foreign.documents import Documents
from lamina.images.api import TravellingImage, TravellingLayer
from lamina.spec.imageconfig import ImageConfig
from lamina.values.digest import DiffID

T = TypeVar("T")

# Where each driver keeps the files of one layer, by its ID.
FILES = {"overlay": "overlay/{}/diff", "vfs": "vfs/dir/{}", "btrfs": "btrfs/subvolumes/{}"}
_HEX = re.compile(r"[0-9a-f]{64}")
_RECORDS_LIMIT = 256 << 20  # bytes: the whole store's records are one document
_DEPTH = 1000  # layers of one image


class _Image(msgspec.Struct):
    id: str
    layer: str = ""
    names: list[str] | None = None


class _Layer(msgspec.Struct):
    id: str
    parent: str = ""
    diff_digest: str = msgspec.field(name="diff-digest", default="")
    diff_size: int = msgspec.field(name="diff-size", default=0)


_IMAGES = msgspec.json.Decoder(list[_Image])
_LAYERS = msgspec.json.Decoder(list[_Layer])


class ContainersStore:
    """One graph root."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._driver = self._only_driver()

    @property
    def title(self) -> str:
        """Such as `containers-storage on overlay`."""
        return f"containers-storage on {self._driver}"

    def close(self) -> None:
        """Let go of the directory."""
        self._documents.close()

    def images(self) -> Iterator[ForeignImage]:
        """What has a name, and what has none but is no step on the way to another image."""
        layers = {each.id: each for each in self._records("layers", _LAYERS)}
        images = self._records("images", _IMAGES)
        steps = {each.parent for each in layers.values()}
        steps |= {image.layer for image in images if image.names}
        for image in images:
            if image.names or image.layer not in steps:
                yield self._travelling(image, layers)

    def _only_driver(self) -> str:
        here = set(self._documents.names(""))
        found = [name for name in FILES if f"{name}-layers" in here]
        if not found:
            raise ForeignStore(
                "this is no store of containers-storage: it has no overlay-layers",
                hint="give the directory that `podman info` calls graphRoot",
            )
        if len(found) > 1:
            raise ForeignStore(f"containers-storage has several drivers here: {found}")
        return found[0]

    def _records(self, kind: str, decoder: "msgspec.json.Decoder[T]") -> T:
        path = f"{self._driver}-{kind}/{kind}.json"
        try:
            return decoder.decode(self._documents.small(path, _RECORDS_LIMIT) or b"[]")
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise BadDocument(f"{path} is damaged: {error}") from error

    def _travelling(self, image: _Image, layers: dict[str, _Layer]) -> ForeignImage:
        config = self._config(image.id)
        chain = _chain(image, layers)
        if len(chain) != len(config.diff_ids):
            raise StoreDamaged(
                f"the image {image.id[:12]} has {len(chain)} layers here and "
                f"{len(config.diff_ids)} by its config"
            )
        travelling = tuple(map(self._layer, chain, config.diff_ids))
        names = tuple(filter(None, map(tag, image.names or ())))
        sizes = tuple(layer.diff_size for layer in chain)
        return ForeignImage(TravellingImage(config, travelling, names, None), sizes)

    def _config(self, image: str) -> ImageConfig:
        if not _HEX.fullmatch(image):
            raise BadDocument(f"images.json has the ID {image[:80]!r}")
        name = base64.b64encode(f"sha256:{image}".encode()).decode()
        config = ImageConfig.parse(self._documents.needed(f"{self._driver}-images/{image}/={name}"))
        if config.id.hex != image:
            raise DigestMismatch(f"the image {image[:12]} has the config of {config.id}")
        return config

    def _layer(self, layer: _Layer, diff_id: DiffID) -> TravellingLayer:
        if layer.diff_digest not in ("", diff_id):
            raise StoreDamaged(f"the layer {layer.id[:12]} is {layer.diff_digest}, not {diff_id}")
        if not _HEX.fullmatch(layer.id):
            raise BadDocument(f"layers.json has the ID {layer.id[:80]!r}")
        metadata = f"{self._driver}-layers/{layer.id}.tar-split.gz"
        files = FILES[self._driver].format(layer.id)
        return TravellingLayer(diff_id, partial(self._documents.layer, metadata, files), None)


def _chain(image: _Image, layers: dict[str, _Layer]) -> list[_Layer]:
    """The layers of an image, lowest first."""
    chain: list[_Layer] = []
    at = image.layer
    while at:
        layer = layers.get(at)
        if layer is None:
            raise StoreDamaged(f"the image {image.id[:12]} stands on the missing layer {at[:12]}")
        if len(chain) >= _DEPTH:
            raise BadDocument(f"the image {image.id[:12]} has more than {_DEPTH} layers")
        chain.append(layer)
        at = layer.parent
    return chain[::-1]
