"""What a simple signature says of an image: the digest of a manifest, and a name. Pure.

https://github.com/containers/image/blob/main/docs/containers-signature.5.md
"""

from typing import NamedTuple

from lamina.errors import BadInput
from lamina.spec import strictjson

GPG = "atomic container signature"
COSIGN = "cosign container image signature"


class Statement(NamedTuple):
    """The digest of a manifest, and the name it was signed under."""

    digest: str
    name: str


def statement(payload: bytes, kind: str) -> Statement | None:
    """What a payload of a kind says; None for what is no statement about an image.

    GPG's has what its page names and nothing more: what a newer one may mean by more is not known.
    """
    what = "signature"
    try:
        whole = strictjson.parse(payload, what)
        critical = strictjson.mapping(whole, "critical", what)
        image = strictjson.mapping(critical, "image", what)
        identity = strictjson.mapping(critical, "identity", what)
        said = Statement(
            strictjson.text(image, "docker-manifest-digest", what),
            strictjson.text(identity, "docker-reference", what),
        )
        if strictjson.text(critical, "type", what) != kind:
            return None
    except BadInput:
        return None
    exact = (
        set(whole) == {"critical", "optional"}
        and isinstance(whole["optional"], dict)
        and set(critical) == {"type", "image", "identity"}
        and len(image) == len(identity) == 1
    )
    return said if exact or kind != GPG else None
