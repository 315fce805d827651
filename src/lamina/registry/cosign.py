"""Signatures of an image as cosign keeps them beside it: verified by public keys, offline.

A signature is a layer of the manifest that is tagged `sha256-<digest>.sig`: the layer holds what
was signed (a digest and a name), its annotation the signature over that.
https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md
"""

import binascii
from base64 import b64decode
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from lamina.content.verified import VerifiedReader
from lamina.errors import ConfigurationError, ImageNotFound, ProgramMissing
from lamina.registry.repository import Repository
from lamina.spec import manifest as manifests
from lamina.spec.manifest import Descriptor, Manifest
from lamina.values.digest import Digest

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

_PAYLOAD = "application/vnd.dev.cosign.simplesigning.v1+json"
_SIGNATURE = "dev.cosignproject.cosign/signature"
_MOST = 100  # signatures of one image that are looked at
_LARGEST = 64 << 10  # bytes of a payload
_CHUNK = 1 << 16


class Signature(NamedTuple):
    """What was signed, as bytes, and the signature over them."""

    payload: bytes
    signature: bytes


def signatures(place: Repository, subject: Digest) -> Iterator[Signature]:
    """The signatures that a repository keeps for a manifest, none of them verified.

    Raises `BadInput` or `RegistryError`.
    """
    try:
        found = place.manifest(f"{subject.algorithm}-{subject.hex}.sig")
    except ImageNotFound:
        return
    document = manifests.parse(found.raw, found.media_type)
    if not isinstance(document, Manifest):
        return
    for layer in document.layers[:_MOST]:
        text = layer.annotations.get(_SIGNATURE, "")
        if layer.media_type != _PAYLOAD or not text or layer.size > _LARGEST:
            continue
        try:
            signature = b64decode(text, validate=True)
        except binascii.Error:
            continue
        yield Signature(_bytes_of(place, layer), signature)


def _bytes_of(place: Repository, layer: Descriptor) -> bytes:
    with place.blob(layer.digest, layer.size) as stream:
        verified = VerifiedReader(stream, layer.digest, layer.size)
        return b"".join(iter(lambda: verified.read(_CHUNK), b""))


def is_by(signature: Signature, pem: bytes) -> bool:
    """Whether the owner of a public key signed it: ECDSA or RSA over SHA-256, or Ed25519.

    Raises `ConfigurationError` for a key of another kind.
    """
    try:
        from cryptography.exceptions import InvalidSignature
    except ImportError:
        raise ProgramMissing(
            "signatures cannot be verified: the Python package cryptography is not installed",
            hint="install it, or lamina[trust]",
        ) from None
    try:
        _verify(_key(pem), signature)
    except InvalidSignature:
        return False
    return True


def _key(pem: bytes) -> "PublicKeyTypes":
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        return load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigurationError("a key of the signature policy is no public key in PEM") from None


def _verify(key: "PublicKeyTypes", signature: Signature) -> None:
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.hashes import SHA256

    if isinstance(key, EllipticCurvePublicKey):
        key.verify(signature.signature, signature.payload, ECDSA(SHA256()))
    elif isinstance(key, RSAPublicKey):
        key.verify(signature.signature, signature.payload, PKCS1v15(), SHA256())
    elif isinstance(key, Ed25519PublicKey):
        key.verify(signature.signature, signature.payload)
    else:
        raise ConfigurationError("a key of the signature policy is of a kind that signs nothing")
