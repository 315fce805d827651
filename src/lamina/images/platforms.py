"""Which of an index's images is for a platform. Pure."""

from collections.abc import Sequence

from lamina.errors import BadDocument
from lamina.spec.manifest import Descriptor, Index
from lamina.values.platform import Platform

_OTHER = 40  # another variant, which may or may not run
_UNSAID = 50
UNFIT = 100
_ARM = ("v8", "v7", "v6", "v5")


def rank(descriptor: Descriptor, platform: tuple[str, ...]) -> int:
    """How well it fits, the best first: the wanted variant, older ones, one that is not said."""
    if not any(descriptor.platform[:2]):
        return _UNSAID
    here = Platform(*descriptor.platform).normalised()
    wanted = Platform(*platform).normalised()
    fitting = _fitting(wanted)
    if here in fitting:
        return fitting.index(here)
    return _OTHER if here[:2] == wanted[:2] else UNFIT


def _fitting(wanted: Platform) -> list[Platform]:
    """What runs on a platform, as containerd's order has it."""
    if wanted.architecture == "arm":
        older = _ARM[_ARM.index(wanted.variant) :] if wanted.variant in _ARM else (wanted.variant,)
        return [wanted._replace(variant=each) for each in older]
    plain = wanted._replace(variant="")
    return [wanted] if wanted == plain else [wanted, plain]


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
