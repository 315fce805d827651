"""Which of an index's images is for a platform. Pure."""

from collections.abc import Sequence

from lamina.errors import BadDocument
from lamina.spec.manifest import Descriptor, Index

UNFIT = 3


def rank(descriptor: Descriptor, platform: tuple[str, ...]) -> int:
    """How well it fits: the wanted or plain variant, another one, one that is not said, none."""
    system, architecture, variant = descriptor.platform
    if (system, architecture) == tuple(platform[:2]):
        wanted = platform[2] if len(platform) > 2 else ""
        return 0 if variant == wanted or (not wanted and variant == "v8") else 1
    return 2 if not system and not architecture else UNFIT


def best(index: Index, platform: tuple[str, ...], name: str) -> Descriptor:
    """The manifest for a platform (os, architecture, perhaps a variant); raises `BadDocument`."""
    found = min(index.manifests, key=lambda each: rank(each, platform), default=None)
    if found is None or rank(found, platform) == UNFIT:
        raise BadDocument(
            f"the index {name} has no image for {'/'.join(each for each in platform if each)}",
            hint=f"it has {_listed(index.manifests) or 'none at all'}",
        )
    return found


def _listed(manifests: Sequence[Descriptor]) -> str:
    there = {"/".join(part for part in each.platform if part) for each in manifests}
    return ", ".join(sorted(there - {"unknown/unknown", ""})[:8])
