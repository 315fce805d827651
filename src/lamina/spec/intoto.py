"""What is said of an image, as in-toto statements beside it in an index, where BuildKit puts them.

A manifest of the platform `unknown/unknown` that names the image's by an annotation; each statement
is one of its layers. Pure.
https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md
https://github.com/moby/buildkit/blob/master/docs/attestations/attestation-storage.md
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from lamina.errors import BadDocument
from lamina.spec import manifest as manifests
from lamina.spec import mediatypes, strictjson
from lamina.spec.manifest import Descriptor, Index, Manifest
from lamina.spec.strictjson import Json
from lamina.values.digest import BlobDigest

STATEMENT = "application/vnd.in-toto+json"
PROVENANCE = "https://slsa.dev/provenance/v1"
SPDX = "https://spdx.dev/Document"
_REFERENCE_TYPE, _REFERENCE = "vnd.docker.reference.type", "vnd.docker.reference.digest"
_ATTESTATION = "attestation-manifest"
_PREDICATE = "in-toto.io/predicate-type"
_TYPE = "https://in-toto.io/Statement/v1"
_UNKNOWN = ("unknown", "unknown", "")


class Predicate(NamedTuple):
    """What is said, and by its type how it is to be understood."""

    type: str
    document: Mapping[str, Json]


class Attestation(NamedTuple):
    """The manifest of what is said of an image, how an index names it, and the blobs it needs."""

    raw: bytes
    descriptor: Descriptor
    blobs: Mapping[BlobDigest, bytes]


def attestation(
    predicates: Sequence[Predicate], subject: Descriptor, names: Sequence[str]
) -> Attestation:
    """What is said of the image of a manifest, which is called by these package URLs."""
    layers: list[Descriptor] = []
    blobs: dict[BlobDigest, bytes] = {}
    for each in predicates:
        data = _statement(each, subject, names)
        said = {_PREDICATE: each.type}
        blob = Descriptor.of(STATEMENT, BlobDigest.of(data), len(data))
        layers.append(blob._replace(annotations=said))
        blobs[blob.digest] = data
    config = _config(layers)
    about = Descriptor.of(mediatypes.OCI_CONFIG, BlobDigest.of(config), len(config))
    blobs[about.digest] = config
    raw = manifests.build(about, tuple(layers))
    own = Descriptor.of(mediatypes.OCI_MANIFEST, BlobDigest.of(raw), len(raw))
    named = {_REFERENCE_TYPE: _ATTESTATION, _REFERENCE: str(subject.digest)}
    return Attestation(raw, own._replace(annotations=named, platform=_UNKNOWN), blobs)


def _statement(predicate: Predicate, subject: Descriptor, names: Sequence[str]) -> bytes:
    digest: dict[str, Json] = {subject.digest.algorithm: subject.digest.hex}
    return strictjson.dump(
        {
            "_type": _TYPE,
            "predicateType": predicate.type,
            "subject": [{"name": name, "digest": digest} for name in names],
            "predicate": dict(predicate.document),
        }
    )


def _config(layers: Sequence[Descriptor]) -> bytes:
    """A config, so that whatever carries images carries it."""
    diff_ids: list[Json] = [str(each.digest) for each in layers]
    return strictjson.dump(
        {
            "architecture": "unknown",
            "os": "unknown",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        }
    )


# --- read, whoever wrote it -------------------------------------------------------------


def attestations_of(index: Index, subject: str) -> tuple[Descriptor, ...]:
    """Where an index has what is said of the image of a manifest's digest ("": of every image)."""
    return tuple(
        each
        for each in index.manifests
        if each.annotations.get(_REFERENCE_TYPE) == _ATTESTATION
        and subject in ("", each.annotations.get(_REFERENCE))
    )


def statements_of(manifest: Manifest) -> tuple[tuple[str, Descriptor], ...]:
    """The statements that an attestation's manifest names, each behind its predicate's type."""
    return tuple(
        (each.annotations.get(_PREDICATE, ""), each)
        for each in manifest.layers
        if each.media_type == STATEMENT
    )


def predicate_in(data: bytes, kind: str, limit: int) -> dict[str, Json]:
    """What a statement of at most `limit` bytes says; raises `BadDocument` for another `kind`."""
    statement = strictjson.parse(data, "statement", limit)
    if strictjson.text(statement, "predicateType", "statement") != kind:
        raise BadDocument(f"the statement says something else than {kind}")
    return strictjson.mapping(statement, "predicate", "statement")
