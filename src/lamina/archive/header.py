"""The 512-byte header block of tar: v7, ustar (POSIX.1-1988), GNU; reading and writing one.

Knows fields and numbers; knows nothing of the blocks that follow.
"""

from functools import lru_cache
from typing import NamedTuple
from zlib import adler32

from lamina.errors import BadArchive

BLOCK = 512
META_LIMIT = 4 << 20  # bytes of one PAX or long-name header
_REMEMBERED = 4096  # fields of a kind: most members repeat what one before them had
_OCTAL = frozenset(b"01234567")
_BLANK = ord(" ")
_SURELY_SMALL = 200  # bytes of 255, with which a block's sum is below Adler-32's modulus


class Header(NamedTuple):
    """The fields of one block, as they stand."""

    name: bytes
    mode: int
    uid: int
    gid: int
    size: int
    mtime: int
    typeflag: bytes
    link: bytes
    devmajor: int
    devminor: int
    is_gnu: bool


def parse(block: bytes) -> Header:
    """Read a header block; raises `BadArchive`."""
    _check_sum(block)
    magic = block[257:263]
    name = block[:100].partition(b"\0")[0]
    if magic == b"ustar\0" and block[345]:
        name = block[345:500].partition(b"\0")[0] + b"/" + name
    typeflag = block[156:157]
    has_device = typeflag in (b"3", b"4") and magic[:5] == b"ustar"
    mode, uid, gid = _owner(block[100:124])
    return Header(
        name,
        mode,
        uid,
        gid,
        number(block[124:136], "size"),
        _time(block[136:148]),
        typeflag,
        block[157:257].partition(b"\0")[0] if block[157] else b"",
        number(block[329:337], "device") if has_device else 0,
        number(block[337:345], "device") if has_device else 0,
        magic == b"ustar ",
    )


def is_header(block: bytes) -> bool:
    """Whether a tar may begin with this block."""
    if len(block) < BLOCK:
        return False
    try:
        parse(block)
    except BadArchive:
        return False
    return True


@lru_cache(_REMEMBERED)
def _owner(fields: bytes) -> tuple[int, int, int]:
    """Mode, owner and group."""
    mode = number(fields[:8], "mode") & 0o7777
    return mode, number(fields[8:16], "owner"), number(fields[16:], "group")


@lru_cache(_REMEMBERED)
def _time(field: bytes) -> int:
    return number(field, "time")


def parse_extended(block: bytes) -> tuple[bytes, int] | None:
    """Type and size of a header that only describes the next member; None for a member's own."""
    typeflag = block[156:157]
    if typeflag not in (b"x", b"g", b"L", b"K"):
        return None
    _check_sum(block)
    return typeflag, number(block[124:136], "size")


def _check_sum(block: bytes) -> None:
    field = block[148:156]
    if adler32(block) & 0xFFFF == _low_half(field):
        return
    high = sum(1 for byte in block[:148] + block[156:] if byte > 127)
    signed = sum(block) - sum(field) + 256 - 256 * high  # in some old tars
    if number(field, "checksum") != signed:
        raise BadArchive("this is no tar: a header's checksum is wrong")


_ADLER = 65521  # the modulus of Adler-32, whose low half is one more than the sum of the bytes


@lru_cache(_REMEMBERED)
def _low_half(field: bytes) -> int:
    """The low half of a block's Adler-32 if its checksum field is true; -1 if no block has it."""
    try:
        wanted = number(field, "checksum")
    except BadArchive as error:
        raise BadArchive(f"this is no tar: {error.brief}") from None
    total = wanted - 256 + sum(field)  # the sum that all 512 bytes must have
    return (1 + total) % _ADLER if 0 <= total <= 255 * BLOCK else -1


def number(field: bytes, what: str) -> int:
    """A number in octal or, with the first bit set, in base 256; raises `BadArchive`."""
    text = field.rstrip(b" \0")
    if text.isdigit():
        try:
            return int(text, 8)
        except ValueError:
            raise BadArchive(f"a tar header's {what} is no number") from None
    if field[0] & 0x80:
        return _base256(field, what)
    text = field.partition(b"\0")[0].strip()
    if not text:
        return 0
    if not _OCTAL.issuperset(text):
        raise BadArchive(f"a tar header's {what} is no number")
    return int(text, 8)


def _base256(field: bytes, what: str) -> int:
    value = int.from_bytes(field, "big")
    bits = len(field) * 8
    if field[0] == 0xFF:
        value -= 1 << bits
    else:
        value -= 1 << (bits - 1)
    if not -(1 << 62) < value < 1 << 62:
        raise BadArchive(f"a tar header's {what} is out of range")
    return value


def fits_octal(value: int, digits: int) -> bool:
    """Whether a number fits a field of that many octal digits."""
    return 0 <= value < 1 << 3 * digits


def build(
    *,
    name: bytes,
    prefix: bytes,
    mode: int,
    uid: int,
    gid: int,
    size: int,
    mtime: int,
    typeflag: bytes,
    link: bytes,
    devmajor: int,
    devminor: int,
) -> bytes:
    """A ustar header block; every value must fit its field."""
    head = name.ljust(100, b"\0") + _fixed(mode, uid, gid) + b"%011o\0%011o\0" % (size, mtime)
    tail = typeflag + link.ljust(100, b"\0") + _device(devmajor, devminor)
    tail += prefix.ljust(167, b"\0")
    total = _sum(head, tail, len(name) + len(link) + len(prefix))
    return b"%b%06o\0 %b" % (head, total, tail)


def _sum(head: bytes, tail: bytes, free: int) -> int:
    """The sum of a block's bytes, blanks in the place of the sum; `free` of them may be anything.

    Adler-32 has it, less multiples of a modulus that a block without long names stays below.
    """
    if free > _SURELY_SMALL:
        return sum(head) + sum(tail) + 8 * _BLANK
    return (adler32(tail, adler32(head)) & 0xFFFF) - 1 + 8 * _BLANK


@lru_cache(_REMEMBERED)
def _fixed(mode: int, uid: int, gid: int) -> bytes:
    return b"%07o\0%07o\0%07o\0" % (mode, uid, gid)


@lru_cache(_REMEMBERED)
def _device(major: int, minor: int) -> bytes:
    """What stands between the link's name and the prefix."""
    return b"ustar\00000" + bytes(64) + b"%07o\0%07o\0" % (major, minor)
