"""Images as the Engine API shows them: in lists, one by one, and how they came to be."""

from collections.abc import Sequence

from lamina.engine.image import HistoryRow, Image
from lamina.values.namepattern import meant
from lamina.values.reference import Reference
from lamina.views.api import Document, Version
from lamina.views.images import UNSAID, image_document

_HAS_VIRTUAL_SIZE = (1, 43)  # the last that has
_HAS_CONTAINER = (1, 44)
_HAS_WHOLE_CONFIG = (1, 49)
_NAMES_NOTHING = (1, 42)
# What Config holds of a container rather than of images to come; gone with 1.50.
_OF_CONTAINERS: Document = {
    "Hostname": "",
    "Domainname": "",
    "AttachStdin": False,
    "AttachStdout": False,
    "AttachStderr": False,
    "Tty": False,
    "OpenStdin": False,
    "StdinOnce": False,
    "Image": "",
}


def tags_of(image: Image, patterns: Sequence[str] = ()) -> list[str]:
    """Its names that have a tag, all or those that a pattern means."""
    wanted = [name for each in patterns for name in meant(image.names, each)]
    names = [each for each in image.names if each in wanted] if patterns else image.names
    return [name.familiar for each in names if (name := Reference.stored(each)).tag]


def digests_of(image: Image) -> list[str]:
    """`name@digest` of what it came with, and of names that are a digest's alone."""
    named = (Reference.stored(each) for each in image.names)
    alone = {name.familiar for name in named if name.tag is None and name.digest is not None}
    return sorted({*image.repo_digests, *alone})


def summary(
    image: Image,
    version: Version,
    *,
    patterns: Sequence[str] = (),
    shared: int = -1,
    containers: int = -1,
) -> Document:
    """One entry of a list, with the names that `patterns` mean, if there are any.

    `shared` bytes and `containers` are -1 where nobody counted.
    """
    tags, digests = tags_of(image, patterns), digests_of(image)
    if version <= _NAMES_NOTHING and not tags and not digests:
        tags, digests = ["<none>:<none>"], ["<none>@<none>"]
    found: Document = {
        "Containers": containers,
        "Created": int(image.created),
        "Id": image.id,
        "Labels": image.labels or None,
        "ParentId": "",
        "RepoDigests": digests,
        "RepoTags": tags,
        "SharedSize": shared,
        "Size": image.size,
    }
    return found | ({"VirtualSize": image.size} if version <= _HAS_VIRTUAL_SIZE else {})


def inspected(image: Image, driver: str, version: Version) -> Document:
    """All of one image."""
    found = image_document(image, driver)
    found |= {"RepoTags": tags_of(image), "RepoDigests": digests_of(image), "DockerVersion": ""}
    config = found["Config"]
    assert isinstance(config, dict)
    if version <= _HAS_WHOLE_CONFIG:
        found["Config"] = _OF_CONTAINERS | config
    if version <= _HAS_CONTAINER:
        found |= {"Container": "", "ContainerConfig": _OF_CONTAINERS | UNSAID}
    if version > _HAS_VIRTUAL_SIZE:
        del found["VirtualSize"]
    return found


def history(image: Image, rows: list[HistoryRow]) -> list[Document]:
    """How it came to be, newest first."""
    tags = tags_of(image) or None
    return [
        {
            "Comment": row.comment,
            "Created": int(row.created),
            "CreatedBy": row.created_by,
            "Id": row.image or "<missing>",
            "Size": row.size,
            "Tags": tags if row.image else None,
        }
        for row in rows
    ]
