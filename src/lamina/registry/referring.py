"""What refers to a manifest: signatures, SBOMs, attestations (OCI distribution 1.1).

Asked of the registry, or, where it has no such list, read from the tag that stands for it.
"""

from collections.abc import Iterator

from lamina.errors import BadDocument, ImageNotFound
from lamina.registry.listing import endless, pages
from lamina.registry.repository import Repository
from lamina.spec import manifest as manifests
from lamina.spec import mediatypes
from lamina.spec.manifest import Descriptor, Index
from lamina.values.digest import Digest

_MOST = 10_000


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
    try:
        tagged = place.manifest(f"{subject.algorithm}-{subject.hex}")
    except ImageNotFound:
        return
    yield _index(tagged.raw)


def _index(raw: bytes) -> Index:
    found = manifests.parse(raw, mediatypes.OCI_INDEX)
    if not isinstance(found, Index):
        raise BadDocument("a list of referrers is no index")
    return found
