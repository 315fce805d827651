"""docker's data root (`/var/lib/docker`) as a source of images; docker may go on running.

    image/<driver>/repositories.json                   names
    image/<driver>/imagedb/content/sha256/<image ID>   configs
    image/<driver>/imagedb/metadata/sha256/<id>/parent what a build step was made from
    image/<driver>/layerdb/sha256/<chain ID>/          cache-id, diff, size, tar-split.json.gz
    <driver>/...                                       the layers' files

The layout is moby's (image/fs.go, layer/filestore.go); also that of the drivers that moby has
dropped, overlay and aufs, whose images can be taken over so.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial

import msgspec

from lamina.errors import BadDocument, DigestMismatch, ForeignStore, StoreDamaged
from lamina.foreign.api import ForeignImage, tag
from lamina.foreign.documents import Documents
from lamina.images.api import ByteStream, TravellingImage, TravellingLayer
from lamina.spec.imageconfig import ImageConfig
from lamina.values.digest import ChainID, DiffID, ImageID, chain_ids
from lamina.values.reference import Reference

# Where each driver keeps the files of one layer, by its cache ID.
FILES = {
    "overlay2": "overlay2/{}/diff",
    "fuse-overlayfs": "fuse-overlayfs/{}/diff",
    "vfs": "vfs/dir/{}",
    "btrfs": "btrfs/subvolumes/{}",
    "overlay": "overlay/{}/root",
    "aufs": "aufs/diff/{}",
}
_HEX = re.compile(r"[0-9a-f]{64}")
_RECORD = 4096  # bytes of a layer's one-line records
_NAMES_LIMIT = 64 << 20  # bytes of repositories.json


class _Repositories(msgspec.Struct):
    Repositories: dict[str, dict[str, str]] = {}


class DockerStore:
    """One data root; `root` is closed with it."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._driver = self._only_driver()
        self._image = f"image/{self._driver}"

    @property
    def title(self) -> str:
        """Such as `docker on overlay2`."""
        return f"docker on {self._driver}"

    def close(self) -> None:
        """Let go of the directory."""
        self._documents.close()

    def images(self) -> Iterator[ForeignImage]:
        """What `docker images` lists: what has a name, or is no other image's parent."""
        names = self._names()
        content = f"{self._image}/imagedb/content/sha256"
        known = [name for name in self._documents.names(content) if _HEX.fullmatch(name)]
        parents = set(map(self._parent, known))
        for each in known:
            named = names.get(each, ())
            if named or each not in parents:
                yield self._travelling(each, named)

    def _only_driver(self) -> str:
        found = [name for name in self._documents.names("image") if name in FILES]
        with_images = [
            name for name in found if self._documents.names(f"image/{name}/imagedb/content/sha256")
        ]
        if not found:
            raise ForeignStore(
                "this is no data root of docker: it has no image/<driver>",
                hint="give the directory that `docker info` calls Docker Root Dir; images in "
                "containerd's store come over by `docker save` and `lamina load`",
            )
        if len(with_images) > 1:
            raise ForeignStore(f"docker has images on several drivers here: {with_images}")
        return (with_images or found)[0]

    def _names(self) -> dict[str, tuple[Reference, ...]]:
        raw = self._documents.small(f"{self._image}/repositories.json", _NAMES_LIMIT)
        if raw is None:
            return {}
        try:
            repositories = msgspec.json.decode(raw, type=_Repositories).Repositories
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise BadDocument(f"docker's repositories.json is damaged: {error}") from error
        names: dict[str, list[Reference]] = {}
        for tags in repositories.values():
            for text, image in sorted(tags.items()):
                reference = tag(text)
                if reference is not None:
                    names.setdefault(image.removeprefix("sha256:"), []).append(reference)
        return {image: tuple(found) for image, found in names.items()}

    def _parent(self, image: str) -> str:
        path = f"{self._image}/imagedb/metadata/sha256/{image}/parent"
        raw = self._documents.small(path, _RECORD) or b""
        return raw.decode("ascii", "replace").strip().removeprefix("sha256:")

    def _travelling(self, image: str, names: tuple[Reference, ...]) -> ForeignImage:
        raw = self._documents.needed(f"{self._image}/imagedb/content/sha256/{image}")
        config = ImageConfig.parse(raw)
        if config.id != ImageID(f"sha256:{image}"):
            raise DigestMismatch(f"docker's image {image[:12]} has the config of {config.id}")
        chain = chain_ids(config.diff_ids)
        layers = tuple(
            TravellingLayer(diff_id, self._opener(diff_id, chain_id), None)
            for diff_id, chain_id in zip(config.diff_ids, chain, strict=True)
        )
        sizes = tuple(map(self._size, chain))
        return ForeignImage(TravellingImage(config, layers, names, None), sizes)

    def _record(self, chain_id: ChainID, name: str) -> str:
        path = f"{self._image}/layerdb/sha256/{chain_id.hex}/{name}"
        return self._documents.needed(path, _RECORD).decode("ascii", "replace").strip()

    def _size(self, chain_id: ChainID) -> int:
        text = self._record(chain_id, "size")
        return int(text) if text.isdigit() and len(text) < 20 else 0

    def _opener(
        self, diff_id: DiffID, chain_id: ChainID
    ) -> Callable[[], AbstractContextManager[ByteStream]]:
        return partial(self._open, diff_id, chain_id)

    def _open(self, diff_id: DiffID, chain_id: ChainID) -> AbstractContextManager[ByteStream]:
        if self._record(chain_id, "diff") != diff_id:
            raise StoreDamaged(f"docker's layer {chain_id.short} is not {diff_id}")
        cache_id = self._record(chain_id, "cache-id")
        if not _HEX.fullmatch(cache_id):
            raise StoreDamaged(f"docker's layer {chain_id.short} has the cache ID {cache_id!r}")
        metadata = f"{self._image}/layerdb/sha256/{chain_id.hex}/tar-split.json.gz"
        return self._documents.layer(metadata, FILES[self._driver].format(cache_id))
