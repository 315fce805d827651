"""Which of an index's images is for a platform. Pure."""

import re
from collections.abc import Sequence

from lamina.errors import BadDocument
from lamina.spec.manifest import Descriptor, Index
from lamina.values.platform import Platform

_OTHER = 40  # another variant, which may or may not run
_UNSAID = 50
UNFIT = 100
_ARM = ("v8", "v7", "v6", "v5")


def rank(descriptor: Descriptor, platform: tuple[str, ...]) -> int:
    """How well it fits, the best first: the wanted variant, what it also runs, what is not said."""
    return rank_of(descriptor.platform, platform)


def rank_of(said: tuple[str, str, str], platform: tuple[str, ...]) -> int:
    """The same, of what is said in whatever place."""
    if not any(said[:2]):
        return _UNSAID
    here = Platform(*said).normalised()
    wanted = Platform(*platform).normalised()
    fitting = _fitting(wanted)
    if here in fitting:
        return fitting.index(here)
    return _OTHER if here[:2] == wanted[:2] else UNFIT


def runs_on(said: tuple[str, str, str], platform: tuple[str, ...]) -> bool:
    """Whether what is for one platform is known to run on another, or does not say what it is for.

    As docker compares them: an older variant runs, and 386 on amd64.
    """
    return rank_of(said, platform) not in (_OTHER, UNFIT)


def _fitting(wanted: Platform) -> list[Platform]:
    """What runs on a platform, as containerd's order has it: what docker pulls, too."""
    found = [wanted._replace(variant=each) for each in _older(wanted)]
    if wanted.architecture == "amd64":
        found.append(Platform(wanted.os, "386"))
    if wanted.architecture == "arm64":
        found += [Platform(wanted.os, "arm", each) for each in _ARM]
    return found


def _older(wanted: Platform) -> list[str]:
    """A variant and those before it, in their normal spelling."""
    digits = wanted.variant.removeprefix("v")
    match wanted.architecture:
        case "arm" if wanted.variant in _ARM:
            return list(_ARM[_ARM.index(wanted.variant) :])
        case "amd64" if digits.isdecimal() and len(digits) == 1:
            return [*(f"v{each}" for each in range(int(digits), 1, -1)), ""]
        case "arm64" if re.fullmatch(r"[89](\.\d)?", digits):
            return _older_arm64(int(digits[0]), int(digits[2:] or 0))
    return [wanted.variant]


def _older_arm64(major: int, minor: int) -> list[str]:
    """v9.x is what v8.(x+5) is, and more."""
    found = [f"v9.{each}" if each else "v9" for each in range(minor, -1, -1) if major == 9]
    first = minor + 5 if major == 9 else minor
    return [*found, *(f"v8.{each}" for each in range(first, 0, -1)), ""]


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
