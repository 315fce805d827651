"""`docker save`'s archive as a source and as a sink: every generation since manifest.json (1.10).

Layers may be `<id>/layer.tar`, links between those, or blobs of an OCI layout; each may be
compressed. What is written is read by docker, podman and skopeo, and equal images give equal
bytes.
"""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from lamina.archive.entry import DIR, FILE, Entry, Write
from lamina.archive.writer import head
from lamina.errors import BadArchive, BadDocument, DigestMismatch, InvalidReference
from lamina.images import ocilayout
from lamina.images.api import ByteStream, TravellingImage, TravellingLayer
from lamina.images.members import Members
from lamina.spec import strictjson
from lamina.spec.imageconfig import ImageConfig
from lamina.spec.manifest import Manifest
from lamina.spec.strictjson import Json
from lamina.values.digest import DiffID, ImageID
from lamina.values.reference import Reference

_BLOCK = 512
_DIGEST = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}$")
_TAGS_LIMIT = 10_000


def is_archive(members: Members) -> bool:
    """Whether these files are a docker archive."""
    return members.has("manifest.json")


def images(members: Members) -> Iterator[TravellingImage]:
    """Every image of the archive; raises `BadInput`."""
    raw = members.small("manifest.json", strictjson.LIMIT)
    if members.has("version") and raw.lstrip().startswith(b"{"):
        raise BadArchive(
            "this is the `dir:` layout of skopeo and podman, which Lamina does not read",
            hint="copy it to an OCI layout: skopeo copy dir:HERE oci:THERE:latest",
        )
    budget = ocilayout.Budget()
    manifests = _manifests(members)
    for item in strictjson.parse_list(raw, "manifest.json"):
        if not isinstance(item, dict):
            raise BadDocument("manifest.json holds something that is not an object")
        image = _image(members, item, manifests)
        budget.spend(len(image.config.raw))
        yield image


def _manifests(members: Members) -> dict[ImageID, Manifest]:
    """What the archive holds beside `manifest.json` when it is an OCI layout, too."""
    return ocilayout.manifests_by_config(members) if ocilayout.is_layout(members) else {}


def _image(
    members: Members, item: dict[str, Json], manifests: dict[ImageID, Manifest]
) -> TravellingImage:
    what = "manifest.json"
    strictjson.refuse_lookalikes(item, ("Config", "RepoTags", "Layers"), what)
    name = strictjson.text(item, "Config", what)
    if not name:
        raise BadDocument(f"{what} has an image without a Config")
    config = _config(members, name)
    paths = strictjson.texts(item, "Layers", what) or ()
    if len(paths) != len(config.diff_ids):
        raise BadDocument(f"{what} names {len(paths)} layers and the config {len(config.diff_ids)}")
    manifest = _came_with(manifests.get(config.id), config, paths)
    blobs = [ocilayout.facts(each) for each in manifest.layers] if manifest else [None] * len(paths)
    layers = tuple(
        TravellingLayer(diff_id, _opener(members, path), blob)
        for diff_id, path, blob in zip(config.diff_ids, paths, blobs, strict=True)
    )
    kept = (manifest.raw, manifest.media_type) if manifest else None
    return TravellingImage(config, layers, _names(item), kept)


def _config(members: Members, name: str) -> ImageConfig:
    """The config of that file name, which holds its digest with every tool that writes one."""
    config = ImageConfig.parse(members.small(name, strictjson.LIMIT))
    promised = _DIGEST.search(name.removesuffix(".json"))
    if promised is not None and promised[0] != config.id.hex:
        raise DigestMismatch(f"the config {name} is {config.id}, not what it is called")
    return config


def _came_with(
    manifest: Manifest | None, config: ImageConfig, paths: tuple[str, ...]
) -> Manifest | None:
    """`manifest`, if it names these very layers compressed (docker on containerd's store)."""
    if manifest is None or not paths:
        return None
    blobs = [f"blobs/{each.digest.algorithm}/{each.digest.hex}" for each in manifest.layers]
    plain = [f"blobs/{each.algorithm}/{each.hex}" for each in config.diff_ids]
    return manifest if blobs == list(paths) != plain else None


def _opener(members: Members, path: str) -> Callable[[], AbstractContextManager[ByteStream]]:
    return lambda: members.open(path)


def _names(item: dict[str, Json]) -> tuple[Reference, ...]:
    texts = strictjson.texts(item, "RepoTags", "manifest.json") or ()
    if len(texts) > _TAGS_LIMIT:
        raise BadDocument(f"manifest.json gives an image {len(texts)} names")
    try:
        names = tuple(Reference.parse(text).with_default_tag() for text in texts)
    except InvalidReference as error:
        raise BadDocument(f"manifest.json has an {error.brief}") from None
    for name in names:
        if name.digest is not None:
            raise BadDocument(
                f"manifest.json has the name {name.familiar[:200]!r}, which is no tag"
            )
    return tuple(dict.fromkeys(names))


def refuse_unknown(members: Members) -> None:
    """Raise for an archive that is neither of the known forms."""
    if members.has("repositories"):
        raise BadArchive(
            "this archive was made by a docker older than 1.10 and has no manifest.json",
            hint="load it into a newer docker and save it again",
        )
    raise BadArchive(
        "this is neither a docker archive nor an OCI layout",
        hint="a plain root file system is taken by `lamina import`",
    )


class ArchiveWriter:
    """Writes images one after the other; a layer that several share is written once.

    `export` writes a layer's plain tar to the sink it is given; `size` says how long that is.
    """

    def __init__(self, write: Write) -> None:
        self._write = write
        self._written: set[str] = set()
        self._manifest: list[Json] = []

    def add(
        self,
        image: ImageID,
        config: ImageConfig,
        names: list[str],
        export: Callable[[int, Write], None],
        size: Callable[[int], int],
    ) -> None:
        """Write one image's layers and config; `names` are familiar names."""
        paths: list[Json] = []
        for number, diff_id in enumerate(config.diff_ids):
            paths.append(self._layer(diff_id, number, export, size))
        self._file(f"{image.hex}.json", config.raw)
        self._manifest.append(
            {"Config": f"{image.hex}.json", "RepoTags": list(names), "Layers": paths}
        )

    def _layer(
        self,
        diff_id: DiffID,
        number: int,
        export: Callable[[int, Write], None],
        size: Callable[[int], int],
    ) -> str:
        path = f"{diff_id.hex}/layer.tar"
        if path not in self._written:
            self._written.add(path)
            self._write(head(Entry(os.fsencode(diff_id.hex), DIR, 0o755)))
            length = size(number)
            self._write(head(Entry(os.fsencode(path), FILE, 0o644, size=length)))
            export(number, self._write)
            self._write(bytes(-length % _BLOCK))
        return path

    def _file(self, name: str, data: bytes) -> None:
        if name in self._written:
            return
        self._written.add(name)
        self._write(head(Entry(os.fsencode(name), FILE, 0o644, size=len(data))))
        self._write(data + bytes(-len(data) % _BLOCK))

    def finish(self) -> None:
        """Write manifest.json and the end."""
        self._file("manifest.json", strictjson.dump(self._manifest))
        self._write(bytes(2 * _BLOCK))
