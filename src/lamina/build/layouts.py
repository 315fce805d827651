"""An image of an OCI layout taken into the store, to build upon or to copy from."""

import hashlib

from lamina.build.named import Layout
from lamina.errors import ImageNotFound, from_oserror
from lamina.images import ocilayout
from lamina.images.api import TravellingImage
from lamina.images.members import DirectoryMembers
from lamina.images.store import ImageStore
from lamina.layers.store import LayerStore
from lamina.transfer.load import load_one
from lamina.transfer.naming import named
from lamina.values.digest import ImageID
from lamina.values.events import ignore


def take_in(
    layout: Layout, images: ImageStore, layers: LayerStore, platform: tuple[str, str]
) -> ImageID:
    """Load the chosen image, without its names; raises `ImageNotFound`, `BadInput` or such."""
    try:
        members = DirectoryMembers(layout.path)
    except OSError as error:
        raise from_oserror(error, "reading", layout.path) from error
    try:
        with named(layout.path):
            found = list(ocilayout.images(members, platform))
            chosen = [image for image in found if _is_chosen(image, layout.choice)]
            if len(chosen) != 1:
                raise _unclear(layout, found, len(chosen))
            return load_one(chosen[0]._replace(names=()), images, layers, ignore).image
    finally:
        members.close()


def _is_chosen(image: TravellingImage, choice: str) -> bool:
    if not choice:
        return True
    if image.manifest is not None and _digest(image.manifest[0]) == choice:
        return True
    return any(choice in (name.tag, name.familiar, name.familiar_name) for name in image.names)


def _digest(document: bytes) -> str:
    return f"sha256:{hashlib.sha256(document).hexdigest()}"


def _unclear(layout: Layout, found: list[TravellingImage], count: int) -> ImageNotFound:
    names = ", ".join(name.familiar for image in found for name in image.names)
    which = f"has no image {layout.choice!r}" if not count else f"holds {count} images"
    return ImageNotFound(
        f"the layout {layout.path} {which}",
        hint=f"write {layout.path}:TAG; it has {names}" if names else "name one by @digest",
    )
