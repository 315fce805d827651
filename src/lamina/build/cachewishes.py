"""What `--cache-from` and `--cache-to` ask for, as values, in docker's words. Pure."""

import csv
from collections.abc import Sequence
from typing import NamedTuple

from lamina.archive.packing import Packing
from lamina.errors import UsageError
from lamina.values.reference import Reference

REGISTRY, LOCAL, IMAGE, INLINE = "registry", "local", "image", "inline"
TAG = "latest"
_TRUE, _FALSE = ("true", "1"), ("false", "0")
_MOUNTS = "mounts"
_OF_FROM = {REGISTRY: ("ref", _MOUNTS), LOCAL: ("src", "tag", _MOUNTS)}
_OF_TO = {
    REGISTRY: ("ref", "mode", _MOUNTS),
    LOCAL: ("dest", "tag", "mode", _MOUNTS),
    INLINE: (),
}
_OF_WRITING = (
    *("compression", "compression-level", "force-compression", "ignore-error"),
    *("oci-mediatypes", "image-manifest"),
)


class CacheFrom(NamedTuple):
    """A cache to be asked: at a registry, in an OCI layout, or an IMAGE of the store or elsewhere.

    `place` is a name or a directory. Without `mounts` its cache mounts are left where they are.
    """

    kind: str
    place: str
    tag: str = TAG
    mounts: bool = True

    @property
    def title(self) -> str:
        """What people call it."""
        return f"{self.place}:{self.tag}" if self.kind == LOCAL else self.place


class CacheTo(NamedTuple):
    """A cache to be written, with all layers (`everything`) or the result's alone.

    Its layers are compressed by `packing` (None: not at all); with `again` also those that another
    cache holds. With `forgives` a failure is only warned of. It carries the cache mounts called
    `mounts`, or `every_mount` that the build uses.
    """

    kind: str
    place: str = ""
    tag: str = TAG
    everything: bool = False
    packing: Packing | None = Packing()
    again: bool = False
    forgives: bool = False
    every_mount: bool = False
    mounts: tuple[str, ...] = ()

    def carries(self, mount: str) -> bool:
        """Whether it is to hold the cache mounts of that ID."""
        return self.every_mount or mount in self.mounts


def parse_from(text: str) -> list[CacheFrom]:
    """`IMAGE[,IMAGE...]`, `type=registry,ref=...` or `type=local,src=...`; raises `UsageError`."""
    if "=" not in text:
        return [CacheFrom(IMAGE, each.strip()) for each in text.split(",") if each.strip()]
    option = f"--cache-from {text!r}"
    fields = _fields(text, option)
    kind = _kind(fields, _OF_FROM, option)
    _refuse_unknown(fields, _OF_FROM[kind], option)
    mounts = _is_true(fields, _MOUNTS, option, "true")
    if kind == LOCAL:
        tag = fields.get("tag", TAG)
        return [CacheFrom(LOCAL, _needed(fields, "src", option), tag, mounts)]
    return [CacheFrom(REGISTRY, _named(_needed(fields, "ref", option)), mounts=mounts)]


def parse_to(text: str) -> CacheTo:
    """`type=inline|registry|local,...`, or a name at a registry; raises `UsageError`."""
    if text == INLINE:
        return CacheTo(INLINE)
    if "=" not in text:
        return CacheTo(REGISTRY, _named(text))
    option = f"--cache-to {text!r}"
    every_mount, mounts = _mounts(text, option)
    fields = _fields(text, option)
    kind = _kind(fields, _OF_TO, option)
    _refuse_unknown(fields, (*_OF_TO[kind], *_OF_WRITING), option)
    mode = fields.get("mode", "min")
    if mode not in ("min", "max"):
        raise UsageError(f"{option}: there is no mode {mode!r}", hint="it is min or max")
    place = ""
    if kind != INLINE:
        place = _needed(fields, "dest" if kind == LOCAL else "ref", option)
    return CacheTo(
        kind,
        _named(place) if kind == REGISTRY else place,
        fields.get("tag", TAG),
        mode == "max",
        _packing(fields, option),
        _is_true(fields, "force-compression", option),
        _is_true(fields, "ignore-error", option),
        every_mount,
        mounts,
    )


def _mounts(text: str, option: str) -> tuple[bool, tuple[str, ...]]:
    """Whether all cache mounts are to be carried, else which; the field stands once for each ID."""
    said = [value for key, value in _pairs(text, option) if key == _MOUNTS]
    if len(said) == 1 and said[0].lower() in _TRUE + _FALSE:
        return said[0].lower() in _TRUE, ()
    return False, tuple(said)


def _fields(text: str, option: str) -> dict[str, str]:
    return dict(_pairs(text, option))


def _pairs(text: str, option: str) -> list[tuple[str, str]]:
    """The fields as docker reads them: as one row of CSV, in which a quoted field has commas."""
    try:
        parts = next(csv.reader([text]))
    except csv.Error as error:
        raise UsageError(f"{option}: {error}") from None
    pairs = []
    for part in parts:
        key, equals, value = part.strip().partition("=")
        if not equals:
            raise UsageError(f"{option}: {part!r} is not KEY=VALUE")
        pairs.append((key.strip().lower(), value))
    return pairs


def _kind(fields: dict[str, str], known: dict[str, tuple[str, ...]], option: str) -> str:
    kind = fields.pop("type", REGISTRY)
    if kind not in known:
        hint = f"it is {', '.join(known)}"
        raise UsageError(f"{option}: there is no type {kind!r}", hint=hint)
    return kind


def _refuse_unknown(fields: dict[str, str], known: Sequence[str], option: str) -> None:
    for key in fields:
        if key not in known:
            hint = f"it has {', '.join(known)}" if known else "it has none"
            raise UsageError(f"{option} has an unknown field {key!r}", hint=hint)


def _needed(fields: dict[str, str], key: str, option: str) -> str:
    if not fields.get(key):
        raise UsageError(f"{option} needs {key}=")
    return fields[key]


def _named(text: str) -> str:
    """A name at a registry, in full; raises `InvalidReference`."""
    return str(Reference.parse(text).with_default_tag())


def _packing(fields: dict[str, str], option: str) -> Packing | None:
    kind = fields.get("compression", "gzip")
    level = fields.get("compression-level")
    if kind == "uncompressed":
        return None
    if level is not None and not (level.isascii() and level.isdigit() and len(level) < 4):
        raise UsageError(f"{option}: {level!r} is no level of compression")
    return Packing.checked(kind, int(level) if level is not None else None)


def _is_true(fields: dict[str, str], key: str, option: str, default: str = "false") -> bool:
    value = fields.get(key, default).lower()
    if value not in _TRUE + _FALSE:
        raise UsageError(f"{option}: {key} is true or false")
    return value in _TRUE
