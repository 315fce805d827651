"""A header block that is written: its checksum is the sum of its bytes, whatever its names are."""

import io
import tarfile

import pytest

from lamina.archive import header, writer
from lamina.archive.entry import Entry
from lamina.archive.reader import read
from lamina.errors import BadArchive


def block(name, link=b"", prefix=b""):
    return header.build(
        name=name,
        prefix=prefix,
        mode=0o7777,
        uid=0o7777777,
        gid=0o7777777,
        size=0o77777777777,
        mtime=0o77777777777,
        typeflag=b"0",
        link=link,
        devmajor=0o7777777,
        devminor=0o7777777,
    )


@pytest.mark.parametrize("byte", [b"\0", b"a", b"\xff"])
@pytest.mark.parametrize(
    "sizes", [(1, 0, 0), (100, 0, 0), (100, 100, 0), (45, 0, 155), (100, 100, 155)]
)
def test_the_checksum_is_the_sum_of_the_bytes(byte, sizes):
    name, link, prefix = (byte * size for size in sizes)
    made = block(name, link, prefix)
    assert len(made) == header.BLOCK
    assert made[148:156] == b"%06o\0 " % tarfile.calc_chksums(made)[0]
    assert header.parse(made).uid == 0o7777777
    assert (made[:100], made[157:257]) == (name.ljust(100, b"\0"), link.ljust(100, b"\0"))
    assert made[345:500] == prefix.ljust(155, b"\0")


def attributed(count):
    """The tar of a file with so many attributes as large as the kernel has them."""
    xattrs = tuple((b"user.%d" % number, bytes(1 << 16)) for number in range(count))
    out = io.BytesIO()
    writer.write(iter([(Entry(b"a", "file", 0o644, xattrs=xattrs), None)]), out.write)
    return out.getvalue()


def test_what_no_reader_takes_is_not_written():
    """Such an image could be saved, and then loaded by nobody."""
    taken = next(read(io.BytesIO(attributed(63)))).entry
    assert len(taken.xattrs) == 63
    with pytest.raises(BadArchive, match="the name and attributes of 'a' take 42"):
        attributed(65)
