"""The image config (OCI image-spec, config.md; docker's image.json): read, and edited by copying.

The bytes it came as are kept; an edit patches the JSON object, so that what Lamina does not know
survives. The digest of the bytes is the image ID.
"""

import re
from datetime import UTC, datetime
from typing import NamedTuple, Self

from lamina.errors import BadDocument, InvalidDigest
from lamina.spec import strictjson
from lamina.spec.strictjson import Json
from lamina.values.digest import ChainID, DiffID, ImageID, chain_ids

_WHAT = "image config"
_FIELDS = (
    *("architecture", "author", "config", "created", "history", "os", "os.features"),
    *("os.version", "rootfs", "variant"),
)
_CONFIG_FIELDS = (
    *("User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "WorkingDir", "Labels"),
    *("StopSignal", "Shell", "OnBuild", "Healthcheck", "ArgsEscaped"),
)
_HISTORY_FIELDS = ("created", "created_by", "comment", "author", "empty_layer")
_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII
)
_EARLIEST = -62_104_060_800  # 0002-01-01: Go's zero time lies a year before it
_LATEST = 253_402_214_400  # 9999-12-31, in seconds since the epoch


class ContainerConfig(NamedTuple):
    """How a container of the image is run, unless it is told otherwise; None: not said."""

    user: str
    env: tuple[str, ...] | None
    entrypoint: tuple[str, ...] | None
    cmd: tuple[str, ...] | None
    working_dir: str
    exposed_ports: tuple[str, ...] | None
    volumes: tuple[str, ...] | None
    labels: dict[str, str] | None
    stop_signal: str
    shell: tuple[str, ...] | None
    on_build: tuple[str, ...] | None
    healthcheck: dict[str, Json] | None


class HistoryEntry(NamedTuple):
    """One line of how the image came to be; `created` as its text."""

    created: str
    created_by: str
    comment: str
    author: str
    empty_layer: bool


class ImageConfig(NamedTuple):
    """A validated config with the very bytes it was read from."""

    raw: bytes
    document: dict[str, Json]
    config: ContainerConfig
    diff_ids: tuple[DiffID, ...]
    history: tuple[HistoryEntry, ...]
    created: str
    author: str
    architecture: str
    os: str
    variant: str

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read a config; raises `BadDocument` for whatever is not as the format says."""
        document = strictjson.parse(raw, _WHAT)
        strictjson.refuse_lookalikes(document, _FIELDS, _WHAT)
        rootfs = strictjson.mapping(document, "rootfs", _WHAT)
        return cls(
            raw,
            document,
            _container_config(strictjson.mapping(document, "config", _WHAT)),
            _diff_ids(rootfs),
            tuple(map(_history, strictjson.objects(document, "history", _WHAT))),
            strictjson.text(document, "created", _WHAT),
            strictjson.text(document, "author", _WHAT),
            strictjson.text(document, "architecture", _WHAT),
            strictjson.text(document, "os", _WHAT),
            strictjson.text(document, "variant", _WHAT),
        )

    @classmethod
    def of(cls, document: dict[str, Json]) -> Self:
        """The config whose canonical bytes are those of `document`."""
        return cls.parse(strictjson.dump(document))

    @property
    def id(self) -> ImageID:
        """The image ID."""
        return ImageID.of(self.raw)

    @property
    def top_chain(self) -> ChainID | None:
        """The chain ID of all layers together; None for an image without any."""
        chain = chain_ids(self.diff_ids)
        return chain[-1] if chain else None

    @property
    def created_at(self) -> float:
        """When it was created, in seconds since the epoch; 0 when it does not say."""
        return parse_time(self.created)


def _container_config(document: dict[str, Json]) -> ContainerConfig:
    what = f"{_WHAT}'s config"
    strictjson.refuse_lookalikes(document, _CONFIG_FIELDS, what)
    return ContainerConfig(
        strictjson.text(document, "User", what),
        _env(strictjson.texts(document, "Env", what)),
        strictjson.texts(document, "Entrypoint", what),
        strictjson.texts(document, "Cmd", what),
        strictjson.text(document, "WorkingDir", what),
        strictjson.keys(document, "ExposedPorts", what),
        strictjson.keys(document, "Volumes", what),
        strictjson.text_map(document, "Labels", what),
        strictjson.text(document, "StopSignal", what),
        strictjson.texts(document, "Shell", what),
        strictjson.texts(document, "OnBuild", what),
        strictjson.mapping(document, "Healthcheck", what) or None,
    )


def _env(env: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Keep what is KEY=value: a bare name must never pull a value in from the host."""
    return None if env is None else tuple(item for item in env if item.find("=") > 0)


def _diff_ids(rootfs: dict[str, Json]) -> tuple[DiffID, ...]:
    strictjson.refuse_lookalikes(rootfs, ("type", "diff_ids"), f"{_WHAT}'s rootfs")
    kind = strictjson.text(rootfs, "type", f"{_WHAT}'s rootfs", "layers")
    if kind != "layers":
        raise BadDocument(f"the {_WHAT}'s rootfs is of the unknown type {kind!r}")
    try:
        return tuple(DiffID(text) for text in strictjson.texts(rootfs, "diff_ids", _WHAT) or ())
    except InvalidDigest as error:
        raise BadDocument(f"the {_WHAT} has an {error.brief}") from None


def _history(document: dict[str, Json]) -> HistoryEntry:
    what = f"{_WHAT}'s history"
    strictjson.refuse_lookalikes(document, _HISTORY_FIELDS, what)
    empty = document.get("empty_layer")
    if empty is not None and not isinstance(empty, bool):
        raise BadDocument(f"empty_layer of the {what} is neither true nor false")
    return HistoryEntry(
        strictjson.text(document, "created", what),
        strictjson.text(document, "created_by", what),
        strictjson.text(document, "comment", what),
        strictjson.text(document, "author", what),
        bool(empty),
    )


def parse_time(text: str) -> float:
    """An RFC 3339 time in seconds since the epoch; 0 for none, Go's zero time or a broken one."""
    found = _TIME.fullmatch(text)
    if found is None:
        return 0.0
    year, month, day, hour, minute, second = (int(found[number]) for number in range(1, 7))
    zone = found[8]
    offset = 0
    if zone != "Z":
        offset = (int(zone[1:3]) * 60 + int(zone[4:6])) * (-60 if zone[0] == "-" else 60)
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
        seconds = int(moment.timestamp()) - offset
    except (ValueError, OverflowError):
        return 0.0
    if not _EARLIEST <= seconds <= _LATEST:
        return 0.0
    return seconds + float(found[7] or 0)


def format_time(seconds: float) -> str:
    """Seconds since the epoch as RFC 3339 with nanoseconds, as docker writes it.

    What lies outside of the years 2 to 9999 is moved to their edge.
    """
    whole = int(seconds // 1)
    fraction = round((seconds - whole) * 1_000_000_000)
    if fraction >= 1_000_000_000:
        whole, fraction = whole + 1, 0
    base = datetime.fromtimestamp(min(max(whole, _EARLIEST), _LATEST), UTC)
    text = base.replace(tzinfo=None).isoformat()
    return f"{text}.{fraction:09d}".rstrip("0") + "Z" if fraction else f"{text}Z"
