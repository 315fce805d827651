"""Lists of packages (SBOMs): attached to an image at its registry, and read from there.

Is imported only by what has to do with them.
"""

import json
from io import BytesIO
from typing import NamedTuple

from lamina.content.verified import VerifiedReader
from lamina.engine.platforms import platform_of
from lamina.engine.registries import Registries
from lamina.errors import BadDocument, ImageNotFound, UsageError
from lamina.images.platforms import best
from lamina.registry.referring import refer, referrers
from lamina.registry.repository import Repository
from lamina.spec import intoto, mediatypes, sbom
from lamina.spec import manifest as manifests
from lamina.spec.manifest import EMPTY, EMPTY_RAW, Descriptor, Index, Manifest
from lamina.values.digest import BlobDigest
from lamina.values.reference import Reference

_LARGEST = 64 << 20  # bytes of one
_CHUNK = 1 << 20
_MOST = 100  # images of an index whose attestations are looked at


class Attached(NamedTuple):
    """An SBOM that a registry keeps for an image: its manifest's digest, and its type.

    One that a build put beside the image is a statement (`said`, by whose digest it is known) with
    a predicate of some type.
    """

    digest: BlobDigest
    type: str
    said: Descriptor | None = None
    predicate: str = ""


class Sboms:
    """The SBOMs that registries keep."""

    def __init__(self, registries: Registries) -> None:
        self._registries = registries

    def attach(
        self,
        name: Reference,
        content: bytes,
        *,
        kind: str | None = None,
        platform: str | None = None,
    ) -> Attached:
        """Keep an SBOM beside the image that a name means at its registry, as an OCI artifact.

        Its `kind` is a media type, told by what it says unless given. Of an index it is for the
        whole, or for the image of a `platform`. Equal SBOMs give equal artifacts. Raises
        `UsageError`, `ImageNotFound` or `RegistryError`.
        """
        kind = kind or sbom.media_type(content)
        if not kind:
            raise UsageError(
                "the file is no SBOM of a known kind (SPDX, CycloneDX, Syft)",
                hint="say what it is with --artifact-type",
            )
        if len(content) > _LARGEST:
            raise UsageError(f"the SBOM has over {_LARGEST} bytes")
        place = self._registries.repository(name)
        subject = _subject(*_meant(place, name), name, platform)
        blob = Descriptor.of(kind, BlobDigest.of(content), len(content))
        for described, data in ((EMPTY, EMPTY_RAW), (blob, content)):
            _have(place, described, data)
        raw = manifests.artifact(kind, blob, subject)
        made = Descriptor.of(mediatypes.OCI_MANIFEST, BlobDigest.of(raw), len(raw))
        refer(place, raw, made._replace(artifact_type=kind), subject.digest)
        return Attached(made.digest, kind)

    def list(
        self, name: Reference, *, kind: str | None = None, platform: str | None = None
    ) -> list[Attached]:
        """Those of the image that a name means; of one `kind`, or all that are called SBOMs.

        Those that builds put beside images in an index, as `docker buildx build --sbom` does, come
        after those that were attached. Raises `ImageNotFound`, `RegistryError` or `BadInput`.
        """
        place = self._registries.repository(name)
        document, own = _meant(place, name)
        subject = _subject(document, own, name, platform)
        found = [
            Attached(each.digest, each.artifact_type) for each in referrers(place, subject.digest)
        ]
        if isinstance(document, Index):
            found += _beside(place, document, "" if platform is None else str(subject.digest))
        return [each for each in found if (each.type == kind if kind else sbom.is_sbom(each.type))]

    def read(self, name: Reference, attached: Attached) -> bytes:
        """The bytes of one, verified; raises `ImageNotFound`, `RegistryError` or `BadInput`."""
        place = self._registries.repository(name)
        if attached.said is not None:
            return _predicate(_content(place, attached.said, attached), attached.predicate)
        found = place.manifest(attached.digest)
        document = manifests.parse(found.raw, found.media_type)
        if not isinstance(document, Manifest) or len(document.layers) != 1:
            raise BadDocument(f"the artifact {attached.digest.short} does not hold one document")
        return _content(place, document.layers[0], attached)


def _content(place: Repository, blob: Descriptor, attached: Attached) -> bytes:
    if blob.size > _LARGEST:
        raise BadDocument(f"the SBOM {attached.digest.short} claims {blob.size} bytes")
    with place.blob(blob.digest, blob.size) as stream:
        verified = VerifiedReader(stream, blob.digest, blob.size)
        return b"".join(iter(lambda: verified.read(_CHUNK), b""))


def _predicate(statement: bytes, kind: str) -> bytes:
    document = intoto.predicate_in(statement, kind, _LARGEST)
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()


def _beside(place: Repository, index: Index, subject: str) -> list[Attached]:
    """The SBOMs that an index has of an image ("": of all its images)."""
    found = []
    for each in intoto.attestations_of(index, subject)[:_MOST]:
        manifest = place.manifest(each.digest)
        document = manifests.parse(manifest.raw, manifest.media_type)
        if isinstance(document, Manifest):
            found += [
                Attached(blob.digest, sbom.PREDICATES[kind], blob, kind)
                for kind, blob in intoto.statements_of(document)
                if kind in sbom.PREDICATES
            ]
    return found


def _meant(place: Repository, name: Reference) -> tuple[Manifest | Index, BlobDigest]:
    """What a name means there, and its digest."""
    found = place.manifest(name.digest or name.tag or "latest")
    return manifests.parse(found.raw, found.media_type), BlobDigest(found.digest)


def _subject(
    document: Manifest | Index, own: BlobDigest, name: Reference, platform: str | None
) -> Descriptor:
    if platform is None:
        return Descriptor.of(document.media_type, own, len(document.raw))
    if not isinstance(document, Index):
        raise ImageNotFound(f"{name.familiar} is no index, which alone has platforms")
    chosen = best(document, platform_of(platform), own.short)
    return Descriptor.of(chosen.media_type, chosen.digest, chosen.size)


def _have(place: Repository, described: Descriptor, data: bytes) -> None:
    if not place.has(described.digest):
        place.upload(described.digest, described.size, lambda: BytesIO(data))
