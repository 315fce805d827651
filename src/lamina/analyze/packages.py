"""Which packages an image has, by the files that package managers keep. Pure: bytes in.

dpkg's status (and distroless images' status.d), apk's installed, rpm's SQLite database, Python's
dist-info and egg-info by their names. The files are an image's, so hostile: what does not parse is
left out, and every size and count is bounded. An rpm database in Berkeley DB or ndb is not read.
"""

import re
import sqlite3
import struct
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

Manager = Literal["deb", "apk", "rpm", "pip"]
LIMIT = 256 << 20  # bytes of one package manager's file
_COUNT = 200_000  # packages of one image
_STEPS = 20_000_000  # of SQLite's machine, some seconds
_TAGS = {1000: "name", 1001: "version", 1002: "release", 1003: "epoch", 1022: "architecture"}
_HEADER = 16 << 20  # bytes of one rpm header
_INFO = re.compile(rb"([A-Za-z0-9][\w.]*)-([^-/]+)(?:-py[\d.]+)?\.(?:dist|egg)-info")


class Package(NamedTuple):
    """One installed package."""

    manager: Manager
    name: str
    architecture: str
    version: str


def from_dpkg(status: bytes) -> Iterator[Package]:
    """The installed packages of a dpkg status file."""
    for fields in _stanzas(status, b": "):
        state = fields.get(b"Status", b"install ok installed").split()
        if state[-1:] == [b"installed"] and b"Package" in fields:
            yield Package(
                "deb",
                _text(fields[b"Package"]),
                _text(fields.get(b"Architecture", b"")),
                _text(fields.get(b"Version", b"")),
            )


def from_apk(installed: bytes) -> Iterator[Package]:
    """The packages of apk's database."""
    for fields in _stanzas(installed, b":"):
        if b"P" in fields:
            yield Package(
                "apk",
                _text(fields[b"P"]),
                _text(fields.get(b"A", b"")),
                _text(fields.get(b"V", b"")),
            )


def from_python(names: Iterable[bytes]) -> Iterator[Package]:
    """Python distributions, by the names of their dist-info and egg-info."""
    for name in names:
        found = _INFO.fullmatch(name)
        if found is not None:
            project = re.sub(r"[-_.]+", "-", _text(found[1])).lower()
            yield Package("pip", project, "", _text(found[2]))


def _stanzas(data: bytes, colon: bytes) -> Iterator[dict[bytes, bytes]]:
    """Paragraphs of fields; lines that go on, as descriptions do, are left out."""
    for number, stanza in enumerate(data.split(b"\n\n")):
        if number >= _COUNT:
            return
        fields: dict[bytes, bytes] = {}
        for line in stanza.split(b"\n"):
            key, found, value = line.partition(colon)
            if found and not key.startswith((b" ", b"\t")):
                fields.setdefault(key, value.strip())
        yield fields


# --- rpm --------------------------------------------------------------------------------


def from_rpm(database: bytes) -> list[Package]:
    """The packages of an rpmdb.sqlite; none where it cannot be read."""
    if not database.startswith(b"SQLite format 3\0"):
        return []
    # Bytes 18 and 19 say that there is a write-ahead log, which cannot be beside these bytes.
    plain = database[:18] + b"\1\1" + database[20:]
    connection = sqlite3.connect(":memory:")
    try:
        connection.deserialize(plain)
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.set_progress_handler(lambda: 1, _STEPS)
        query = "SELECT blob FROM Packages WHERE length(blob) <= ? LIMIT ?"
        rows = connection.execute(query, (_HEADER, _COUNT))
        found = [_rpm(row[0]) for row in rows if isinstance(row[0], bytes)]
    except (sqlite3.Error, MemoryError):
        return []
    finally:
        connection.close()
    return [each for each in found if each is not None]


def _rpm(header: bytes) -> Package | None:
    """A package by its header: an index of tags, and the data they point into."""
    try:
        fields = dict(_tags(header))
    except (struct.error, ValueError):
        return None
    if not fields.get("name") or fields["name"] == "gpg-pubkey":
        return None
    epoch = f"{fields['epoch']}:" if fields.get("epoch") else ""
    version = f"{epoch}{fields.get('version', '')}-{fields.get('release', '')}"
    return Package("rpm", fields["name"], fields.get("architecture", ""), version)


def _tags(header: bytes) -> Iterator[tuple[str, str]]:
    count, size = struct.unpack_from(">II", header)
    start = 8 + 16 * count
    if start + size > len(header):
        raise ValueError("the header is cut off")
    for number in range(count):
        tag, kind, offset, _ = struct.unpack_from(">IIII", header, 8 + 16 * number)
        if tag not in _TAGS:
            continue
        at = start + offset
        if kind == 6:  # a string
            yield _TAGS[tag], _text(header[at : header.index(b"\0", at)])
        elif kind == 4:  # a number of 32 bits
            yield _TAGS[tag], str(struct.unpack_from(">I", header, at)[0])


def _text(value: bytes) -> str:
    text = value[:200].decode("utf-8", "replace")
    return "".join(char if char.isprintable() else "\ufffd" for char in text)
