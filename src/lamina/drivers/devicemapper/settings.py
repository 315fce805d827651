"""What `--storage-opt` says of a pool and of the file systems in it.

Knows neither devices nor files.
"""

from collections.abc import Mapping
from typing import NamedTuple

from lamina.errors import ConfigurationError
from lamina.fs.thin import BLOCK, SECTOR
from lamina.values.size import parse


class FileSystem(NamedTuple):
    """How one is made, and mounted; `package` is where its program comes from."""

    make: tuple[str, ...]
    options: tuple[str, ...]
    package: str


FILE_SYSTEMS = {
    # What a pool gives out is zero: neither mkfs nor the kernel, later, needs to write zeros.
    "ext4": FileSystem(
        ("mkfs.ext4", "-q", "-E", "nodiscard,lazy_itable_init=1,lazy_journal_init=1"),
        ("noinit_itable",),
        "e2fsprogs",
    ),
    # A snapshot has the UUID of its origin, which xfs would refuse.
    "xfs": FileSystem(("mkfs.xfs", "-q", "-K"), ("nouuid",), "xfsprogs"),
}


class Settings(NamedTuple):
    """Sizes in bytes, `free` in percent; `pool` is the name of a device that somebody else made."""

    pool: str
    base: int
    kind: str
    data: int
    metadata: int
    free: int


def settings(options: Mapping[str, str]) -> Settings:
    """The options with docker's defaults; raises `ConfigurationError` or `InvalidSize`."""
    kind = options.get("dm.fs", "ext4")
    if kind not in FILE_SYSTEMS:
        known = " and ".join(FILE_SYSTEMS)
        raise ConfigurationError(
            f"devicemapper: no file system {kind!r}", hint=f"{known} are known"
        )
    return Settings(
        options.get("dm.thinpooldev", "").removeprefix("/dev/mapper/"),
        _whole(parse(options.get("dm.basesize", "10g"))),
        kind,
        _whole(parse(options.get("dm.loopdatasize", "100g"))),
        _whole(parse(options.get("dm.loopmetadatasize", "2g"))),
        _percent(options.get("dm.min_free_space", "10%")),
    )


def sectors(size: int) -> int:
    """Bytes as sectors, rounded up to what a pool gives out."""
    return -(-size // (SECTOR * BLOCK)) * BLOCK


def _whole(size: int) -> int:
    return sectors(size) * SECTOR


def _percent(text: str) -> int:
    number = text.removesuffix("%")
    if not number.isdecimal() or not number.isascii() or int(number) > 100:
        raise ConfigurationError(
            f"devicemapper: dm.min_free_space is {text!r}", hint="write it as 10%"
        )
    return int(number)
