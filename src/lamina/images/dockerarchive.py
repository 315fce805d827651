"""`docker save`'s archive as a source and as a sink: every generation since manifest.json (1.10),
and by way of `legacyarchive` those before.

Layers may be `<id>/layer.tar`, links between those, or blobs of an OCI layout; each may be
compressed. What is written is read by docker, podman and skopeo, and equal images give equal
bytes.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from lamina.errors import BadArchive, BadDocument, DigestMismatch, InvalidReference
from lamina.images import legacyarchive, ocilayout
from lamina.images.api import ByteStream, TravellingImage, TravellingLayer
from lamina.images.members import Members
from lamina.images.tape import Tape
from lamina.spec import strictjson
from lamina.spec.imageconfig import ImageConfig
from lamina.spec.manifest import Manifest
from lamina.spec.strictjson import Json
from lamina.values.digest import ImageID
from lamina.values.reference import Reference

_DIGEST = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}$")
_TAGS_LIMIT = 10_000

LayerWriter = Callable[[str, int], object]
"""Writes the plain tar of an image's Nth layer as the member of that name."""


def is_archive(members: Members) -> bool:
    """Whether these files are a docker archive, of whatever generation."""
    return members.has("manifest.json") or legacyarchive.is_archive(members)


def images(members: Members) -> Iterator[TravellingImage]:
    """Every image of the archive; raises `BadInput`."""
    if not members.has("manifest.json"):
        yield from legacyarchive.images(members)
        return
    raw = members.small("manifest.json", strictjson.LIMIT)
    if members.has("version") and raw.lstrip().startswith(b"{"):
        raise BadArchive(
            "this is the `dir:` layout of skopeo and podman, which is no archive",
            hint="copy it into the store: lamina copy dir:HERE lamina:NAME",
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
    raise BadArchive(
        "this is neither a docker archive nor an OCI layout",
        hint="a plain root file system is taken by `lamina import`",
    )


class ArchiveWriter:
    """Writes images one after the other; a layer that several share is written once.

    Layers lie there as plain tars, as docker before 25 writes them and every reader takes them.
    """

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._written: set[str] = set()
        self._manifest: list[Json] = []

    def add(
        self, image: ImageID, config: ImageConfig, names: list[str], layer: LayerWriter
    ) -> None:
        """Write one image's layers and config; `names` are familiar names."""
        paths: list[Json] = []
        for number, diff_id in enumerate(config.diff_ids):
            path = f"{diff_id.hex}/layer.tar"
            if path not in self._written:
                self._written.add(path)
                self._tape.folder(diff_id.hex)
                layer(path, number)
            paths.append(path)
        self._config(f"{image.hex}.json", config.raw)
        self._manifest.append(
            {"Config": f"{image.hex}.json", "RepoTags": list(names), "Layers": paths}
        )

    def _config(self, name: str, data: bytes) -> None:
        if name not in self._written:
            self._written.add(name)
            self._tape.file(name, data)

    def finish(self) -> None:
        """Write manifest.json and the end."""
        self._tape.file("manifest.json", strictjson.dump(self._manifest))
        self._tape.finish()
