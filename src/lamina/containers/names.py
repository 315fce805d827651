"""Names for containers: the rule for given ones, and drawing one where none was given."""

import re

from lamina.errors import InvalidName

_RULE = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")

_MANNERS = [
    "amber",
    "bold",
    "brisk",
    "bright",
    "calm",
    "clear",
    "crisp",
    "deft",
    "eager",
    "even",
    "fair",
    "fine",
    "firm",
    "fleet",
    "fond",
    "frank",
    "free",
    "gentle",
    "glad",
    "grand",
    "hardy",
    "keen",
    "kind",
    "lively",
    "lucid",
    "mellow",
    "merry",
    "mild",
    "neat",
    "noble",
    "nimble",
    "plain",
    "polite",
    "prime",
    "proud",
    "quick",
    "quiet",
    "rapid",
    "ready",
    "sharp",
    "silent",
    "simple",
    "smooth",
    "solid",
    "steady",
    "still",
    "swift",
    "tidy",
    "true",
    "vivid",
    "warm",
    "wise",
    "witty",
]
_MINERALS = [
    "agate",
    "albite",
    "amazonite",
    "amethyst",
    "apatite",
    "azurite",
    "barite",
    "beryl",
    "biotite",
    "calcite",
    "celestine",
    "cinnabar",
    "citrine",
    "cuprite",
    "diopside",
    "dolomite",
    "epidote",
    "feldspar",
    "flint",
    "fluorite",
    "galena",
    "garnet",
    "gneiss",
    "graphite",
    "gypsum",
    "halite",
    "hematite",
    "jasper",
    "kyanite",
    "lapis",
    "magnetite",
    "malachite",
    "marble",
    "mica",
    "obsidian",
    "olivine",
    "onyx",
    "opal",
    "peridot",
    "pyrite",
    "quartz",
    "rutile",
    "schist",
    "shale",
    "slate",
    "spinel",
    "talc",
    "topaz",
    "tourmaline",
    "zircon",
]


def check(name: str) -> str:
    """The name itself; raises `InvalidName` unless docker would take it."""
    if not _RULE.fullmatch(name):
        raise InvalidName(
            f"invalid container name {name!r}",
            hint="a name has at least two of [a-zA-Z0-9_.-] and begins with a letter or digit",
        )
    return name


def draw(randomness: bytes) -> str:
    """A name such as `calm_quartz` from three or more random bytes."""
    manner = _MANNERS[randomness[0] % len(_MANNERS)]
    mineral = _MINERALS[randomness[1] % len(_MINERALS)]
    return f"{manner}_{mineral}{randomness[2]}"
