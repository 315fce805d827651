"""What `--annotation` and `-o annotation...=` say, as values: which document is told what. Pure.

The levels are BuildKit's: an image's manifest, the index of several, and the descriptors by which
each is named. Knows no document and no output.
https://github.com/moby/buildkit/blob/master/docs/annotations.md
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from lamina.errors import UsageError
from lamina.values.platform import Platform

MANIFEST, MANIFEST_DESCRIPTOR = "manifest", "manifest-descriptor"
INDEX, INDEX_DESCRIPTOR = "index", "index-descriptor"
_LEVELS = (MANIFEST, MANIFEST_DESCRIPTOR, INDEX, INDEX_DESCRIPTOR)
_OF_INDEXES = (INDEX, INDEX_DESCRIPTOR)
_LEVEL = re.compile(r"(?P<level>[^\[\]]*)(?:\[(?P<platform>[^\[\]]+)\])?")
_FIELD = re.compile(r"annotation(?:-(?P<level>[^.\[]+))?(?P<platform>\[[^\]]+\])?\.(?P<key>.+)")


class Annotation(NamedTuple):
    """One annotation of the documents at a level; with a `platform` only of that image's."""

    level: str
    platform: Platform | None
    key: str
    value: str


Annotations = tuple[Annotation, ...]
"""In the order given: of two with one key the later counts, and one for a platform before all."""


def parse_annotation(text: str, host: Platform) -> Annotations:
    """`[LEVEL[,LEVEL...]:]KEY=VALUE`, LEVEL being `manifest[linux/amd64]` or such.

    `host` fills in what a platform leaves out. Raises `UsageError`.
    """
    option = f"--annotation {text!r}"
    name, equals, value = text.partition("=")
    levels, colon, key = name.partition(":")
    if not colon:
        levels, key = MANIFEST, name
    if not equals or not key:
        raise UsageError(f"{option} is not KEY=VALUE")
    return tuple(_at(level, key, value, option, host) for level in levels.split(","))


def parse_field(name: str, value: str, option: str, host: Platform) -> Annotation | None:
    """`annotation[-LEVEL][[PLATFORM]].KEY`, a field of `-o`; None for another field.

    Raises `UsageError`.
    """
    found = _FIELD.fullmatch(name)
    if found is None:
        return None
    level = (found["level"] or MANIFEST) + (found["platform"] or "")
    return _at(level, found["key"], value, option, host)


def _at(text: str, key: str, value: str, option: str, host: Platform) -> Annotation:
    found = _LEVEL.fullmatch(text)
    if found is None or found["level"] not in _LEVELS:
        raise UsageError(
            f"{option}: there is no level {text!r}", hint=f"it is {', '.join(_LEVELS)}"
        )
    level, platform = found["level"], found["platform"]
    if platform is None:
        return Annotation(level, None, key, value)
    if level in _OF_INDEXES:
        raise UsageError(f"{option}: an index is of all platforms, not of {platform}")
    return Annotation(level, Platform.parse(platform, host=host), key, value)


def at_level(
    annotations: Iterable[Annotation], level: str, platform: Platform | None = None
) -> dict[str, str]:
    """What the document at a level is told, that of `platform` where there are several."""
    there = [each for each in annotations if each.level == level]
    general = {each.key: each.value for each in there if each.platform is None}
    own = {
        each.key: each.value
        for each in there
        if platform is not None and each.platform is not None and each.platform.matches(platform)
    }
    return general | own


def refuse_unplaced(
    annotations: Iterable[Annotation], platforms: Sequence[Platform], *, has_index: bool
) -> None:
    """Raise `UsageError` for what has no place in a build for `platforms`."""
    for each in annotations:
        if each.level in _OF_INDEXES and not has_index:
            raise UsageError(
                f"the annotation {each.key!r} is for an index, and one image has none",
                hint="build for several --platform, or annotate the manifest",
            )
        wanted = each.platform
        if wanted is not None and not any(wanted.matches(one) for one in platforms):
            raise UsageError(f"the annotation {each.key!r} is for {wanted}, which is not built")
