"""PAX extended header records (POSIX.1-2001, pax(1)): `<length> <key>=<value>\\n`."""

from lamina.errors import BadArchive

XATTR = b"SCHILY.xattr."
_NEWLINE = 10
_NANO = 1_000_000_000
_NUMBER_LIMIT = 1 << 63
_TIME_LIMIT = 1 << 40  # seconds, either way; more fits no file system


def parse(data: bytes) -> list[tuple[bytes, bytes]]:
    """The records in order; raises `BadArchive` for a length that lies."""
    records = []
    at, total = 0, len(data)
    while at < total:
        space = data.find(b" ", at, at + 20)
        digits = data[at:space] if space > at else b""
        if not digits.isdigit():
            if not data[at:].strip(b"\0"):
                break
            raise BadArchive("a PAX record has no length")
        at += int(digits)
        if at > total or at <= space + 1 or data[at - 1] != _NEWLINE:
            raise BadArchive("a PAX record's length is wrong")
        key, separator, value = data[space + 1 : at - 1].partition(b"=")
        if not separator or not key:
            raise BadArchive("a PAX record has no key")
        records.append((key, value))
    return records


def build(records: list[tuple[bytes, bytes]]) -> bytes:
    """The bytes of those records."""
    return b"".join(_record(key, value) for key, value in records)


def _record(key: bytes, value: bytes) -> bytes:
    rest = len(key) + len(value) + 3  # space, equals sign, newline
    length = rest + len(str(rest))
    if len(str(length)) != len(str(rest)):
        length += 1
    return b"%d %s=%s\n" % (length, key, value)


def attribute_key(name: bytes) -> bytes:
    """The key of an extended attribute's record.

    An equals sign would end the key: it is written as GNU tar does (xheader.c), which writes
    every percent sign so, too. Here only those that would be read as something else.
    """
    escaped = name.replace(b"%25", b"%2525").replace(b"%3D", b"%253D").replace(b"=", b"%3D")
    return XATTR + escaped


def attribute_name(key: bytes) -> bytes:
    """The attribute that a record's key names; the opposite of `attribute_key`."""
    return key[len(XATTR) :].replace(b"%3D", b"=").replace(b"%25", b"%")


def number(value: bytes, what: str) -> int:
    """A decimal number; raises `BadArchive`."""
    if not value.isdigit() or len(value) > 20:
        raise BadArchive(f"a PAX {what} is no number")
    found = int(value)
    if found >= _NUMBER_LIMIT:
        raise BadArchive(f"a PAX {what} is out of range")
    return found


def time_ns(value: bytes) -> int:
    """A decimal time with a fraction, in nanoseconds; raises `BadArchive`.

    What is beyond 2^40 seconds either way is moved there, as file systems move it further.
    """
    text = value[1:] if value.startswith(b"-") else value
    seconds, _, fraction = text.partition(b".")
    digits = fraction[:9].ljust(9, b"0")
    if not seconds.isdigit() or len(seconds) > 20 or not digits.isdigit():
        raise BadArchive("a PAX time is no number")
    total = min(int(seconds), _TIME_LIMIT) * _NANO + int(digits)
    return -total if value.startswith(b"-") else total


def format_time(time: int) -> bytes:
    """Nanoseconds as a decimal time, without trailing zeros."""
    sign = b"-" if time < 0 else b""
    seconds, fraction = divmod(abs(time), _NANO)
    if not fraction:
        return b"%s%d" % (sign, seconds)
    return b"%s%d.%s" % (sign, seconds, (b"%09d" % fraction).rstrip(b"0"))
