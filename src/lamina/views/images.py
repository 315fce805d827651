"""Images as `docker images`, `docker history` and `docker inspect` show them."""

from collections.abc import Sequence

from lamina.engine.image import HistoryRow, Image
from lamina.spec.imageconfig import format_time
from lamina.values.ages import age
from lamina.values.namepattern import meant
from lamina.values.reference import Reference
from lamina.values.size import human

Document = dict[str, object]


def image_rows(images: list[Image], now: float, wanted: Sequence[str] = ()) -> list[Document]:
    """What the table shows: a row for each name of each image (`<none>` where there is none).

    Where names or patterns are wanted, only for those names that all of them mean.
    """
    return [_image_row(image, name, now) for image in images for name in _shown(image, wanted)]


def full_image_rows(images: list[Image], now: float, wanted: Sequence[str] = ()) -> list[Document]:
    """The same rows with all that a template may ask for."""
    return [
        {
            **_image_row(image, name, now),
            "CreatedAt": format_time(image.created),
            "VirtualSize": human(image.size),
            "SharedSize": "N/A",
            "UniqueSize": "N/A",
            "Containers": "N/A",
        }
        for image in images
        for name in _shown(image, wanted)
    ]


def _shown(image: Image, wanted: Sequence[str]) -> Sequence[str]:
    names: Sequence[str] = image.names
    for pattern in wanted:
        names = meant(names, pattern)
    return names or (() if wanted else ("",))


def _image_row(image: Image, name: str, now: float) -> Document:
    reference = Reference.stored(name) if name else None
    digests = image.repo_digests
    return {
        "Repository": reference.familiar_name if reference else "<none>",
        "Tag": (reference.tag if reference else None) or "<none>",
        "ID": image.id,
        "Digest": digests[0].partition("@")[2] if digests else "<none>",
        "CreatedSince": f"{age(now - image.created)} ago" if image.created else "N/A",
        "Size": human(image.size),
    }


def history_rows(rows: list[HistoryRow], now: float) -> list[Document]:
    """An image's history, newest first."""
    return [
        {
            "ID": row.image or "<missing>",
            "CreatedAt": format_time(row.created),
            "CreatedSince": f"{age(now - row.created)} ago" if row.created else "N/A",
            "CreatedBy": row.created_by,
            "Size": human(row.size),
            "Comment": row.comment,
        }
        for row in rows
    ]


# What docker's users find in every Config, an image's or a container's, said by anybody or not.
UNSAID: Document = {
    "User": "",
    "Env": [],
    "Cmd": None,
    "Volumes": None,
    "WorkingDir": "",
    "Entrypoint": None,
    "OnBuild": None,
    "Labels": {},
}


def _own_config(found: object) -> Document:
    return dict(found) if isinstance(found, dict) else {}


def image_document(image: Image, driver: str) -> Document:
    """An image as `docker inspect` shows it."""
    config = image.config
    last = config.history[-1] if config.history else None
    return {
        "Id": image.id,
        "RepoTags": image.tags,
        "RepoDigests": image.repo_digests,
        "Parent": "",
        "Comment": last.comment if last else "",
        "Created": config.created,
        "Author": config.author,
        "Config": UNSAID | _own_config(config.document.get("config")),
        "Architecture": config.architecture,
        "Os": config.os,
        "Size": image.size,
        "VirtualSize": image.size,
        "GraphDriver": {"Name": driver, "Data": dict(image.graph_driver) or None},
        "RootFS": {"Type": "layers", "Layers": list(config.diff_ids)},
        "Metadata": {"LastTagTime": format_time(image.created)},
    }
