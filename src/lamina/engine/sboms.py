"""Lists of packages (SBOMs): attached to an image at its registry, and read from there.

Is imported only by what has to do with them.
"""

from io import BytesIO
from typing import NamedTuple

from lamina.content.verified import VerifiedReader
from lamina.engine.platforms import platform_of
from lamina.engine.registries import Registries
from lamina.errors import BadDocument, ImageNotFound, UsageError
from lamina.images.platforms import best
from lamina.registry.referring import refer, referrers
from lamina.registry.repository import Repository
from lamina.spec import manifest as manifests
from lamina.spec import mediatypes, sbom
from lamina.spec.manifest import EMPTY, EMPTY_RAW, Descriptor, Index, Manifest
from lamina.values.digest import BlobDigest
from lamina.values.reference import Reference

_LARGEST = 64 << 20  # bytes of one
_CHUNK = 1 << 20


class Attached(NamedTuple):
    """An SBOM that a registry keeps for an image: its manifest's digest, and its type."""

    digest: BlobDigest
    type: str


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
        subject = _subject(place, name, platform)
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

        Raises `ImageNotFound`, `RegistryError` or `BadInput`.
        """
        place = self._registries.repository(name)
        subject = _subject(place, name, platform)
        return [
            Attached(each.digest, each.artifact_type)
            for each in referrers(place, subject.digest)
            if (each.artifact_type == kind if kind else sbom.is_sbom(each.artifact_type))
        ]

    def read(self, name: Reference, attached: Attached) -> bytes:
        """The bytes of one, verified; raises `ImageNotFound`, `RegistryError` or `BadInput`."""
        place = self._registries.repository(name)
        found = place.manifest(attached.digest)
        document = manifests.parse(found.raw, found.media_type)
        if not isinstance(document, Manifest) or len(document.layers) != 1:
            raise BadDocument(f"the artifact {attached.digest.short} does not hold one document")
        (blob,) = document.layers
        if blob.size > _LARGEST:
            raise BadDocument(f"the SBOM {attached.digest.short} claims {blob.size} bytes")
        with place.blob(blob.digest, blob.size) as stream:
            verified = VerifiedReader(stream, blob.digest, blob.size)
            return b"".join(iter(lambda: verified.read(_CHUNK), b""))


def _subject(place: Repository, name: Reference, platform: str | None) -> Descriptor:
    found = place.manifest(name.digest or name.tag or "latest")
    document = manifests.parse(found.raw, found.media_type)
    if platform is None:
        return Descriptor.of(document.media_type, BlobDigest(found.digest), len(found.raw))
    if not isinstance(document, Index):
        raise ImageNotFound(f"{name.familiar} is no index, which alone has platforms")
    chosen = best(document, platform_of(platform), found.digest.short)
    return Descriptor.of(chosen.media_type, chosen.digest, chosen.size)


def _have(place: Repository, described: Descriptor, data: bytes) -> None:
    if not place.has(described.digest):
        place.upload(described.digest, described.size, lambda: BytesIO(data))
