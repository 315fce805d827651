"""What refers to a manifest: signatures, SBOMs, attestations (OCI distribution 1.1).

Asked of the registry, or, where it has no such list, read from the tag that stands for it; there
it is written, too.
"""

from collections.abc import Iterator

from lamina.errors import BadDocument, ImageNotFound, RegistryError
from lamina.registry.listing import endless, pages
from lamina.registry.repository import Repository
from lamina.spec import manifest as manifests
from lamina.spec import mediatypes
from lamina.spec.manifest import Descriptor, Index
from lamina.spec.strictjson import Json
from lamina.values.digest import Digest

_MOST = 10_000
_TRIES = 5  # where others write the same tag


def referrers(place: Repository, subject: Digest) -> list[Descriptor]:
    """The manifests that say they refer to `subject`, each once; raises `BadDocument`."""
    found: dict[Digest, Descriptor] = {}
    for index in _indexes(place, subject):
        found.update((each.digest, each) for each in index.manifests)
        if len(found) > _MOST:
            raise endless(place.session)
    return list(found.values())


def _indexes(place: Repository, subject: Digest) -> Iterator[Index]:
    try:
        accept = {"Accept": mediatypes.OCI_INDEX}
        url = place.url("referrers", str(subject))
        for page in pages(place.session, url, place.to_read, accept):
            yield _index(page)
        return
    except ImageNotFound:
        pass  # it knows of no such list
    tagged = _tagged(place, subject)
    if tagged is not None:
        yield tagged


def _tagged(place: Repository, subject: Digest) -> Index | None:
    try:
        return _index(place.manifest(_tag(subject)).raw)
    except ImageNotFound:
        return None


def _tag(subject: Digest) -> str:
    return f"{subject.algorithm}-{subject.hex}"


def _index(raw: bytes) -> Index:
    found = manifests.parse(raw, mediatypes.OCI_INDEX)
    if not isinstance(found, Index):
        raise BadDocument("a list of referrers is no index")
    return found


def refer(place: Repository, raw: bytes, described: Descriptor, subject: Digest) -> None:
    """Put a manifest that refers to `subject`; where that is not noted, its tag tells of it, too.

    Raises `RegistryError`. Who writes the tag at the same time as others looks whether it held.
    """
    if place.put_manifest(raw, described.media_type, described.digest) == subject:
        return
    for _ in range(_TRIES):
        found = _tagged(place, subject)
        listed = () if found is None else found.manifests
        if described.digest in [each.digest for each in listed]:
            return
        if len(listed) >= _MOST:
            raise endless(place.session)
        made = manifests.index([*map(_whole, listed), described.as_json()])
        place.put_manifest(made, mediatypes.OCI_INDEX, _tag(subject))
    raise RegistryError(f"{place.name} does not keep the tag {_tag(subject)} as it is written")


def _whole(described: Descriptor) -> dict[str, Json]:
    """A descriptor as it stood, its platform included."""
    document = described.as_json()
    keys = ("os", "architecture", "variant")
    platform: dict[str, Json] = {
        key: value for key, value in zip(keys, described.platform, strict=True) if value
    }
    return {**document, "platform": platform} if platform else document
