"""Files with holes: the map of stored regions in GNU tar's four forms.

Old GNU headers (type S) chain blocks of 21 pairs; PAX 0.0 repeats records, 0.1 has one record,
1.0 puts the map before the file's bytes. A map is believed only when its regions are in order,
do not overlap and lie within the file. What is written here is PAX 1.0.
"""

from collections.abc import Callable

from lamina.archive.entry import Regions
from lamina.archive.header import BLOCK, number
from lamina.errors import BadArchive

_PAIRS_LIMIT = 1 << 18
_DIGITS_LIMIT = 20


def old_gnu(block: bytes, more: Callable[[], bytes]) -> tuple[int, Regions]:
    """The real size and map of an old GNU sparse header; `more` gives the next block."""
    size = number(block[483:495], "size")
    pairs = _old_pairs(block[386:482])
    extended = block[482]
    while extended:
        block = more()
        pairs += _old_pairs(block[:504])
        extended = block[504]
        if len(pairs) > _PAIRS_LIMIT:
            raise BadArchive("a sparse file has too many regions")
    return size, checked(pairs, size)


def _old_pairs(area: bytes) -> list[tuple[int, int]]:
    pairs = []
    for at in range(0, len(area), 24):
        if area[at] == 0:
            break
        offset = number(area[at : at + 12], "sparse map")
        pairs.append((offset, number(area[at + 12 : at + 24], "sparse map")))
    return pairs


def from_numbers(numbers: list[int], size: int) -> Regions:
    """Pairs given as a flat list."""
    if len(numbers) % 2:
        raise BadArchive("a sparse map is cut off")
    return checked(list(zip(numbers[::2], numbers[1::2], strict=True)), size)


def from_text(text: bytes, size: int) -> Regions:
    """The comma-separated map of PAX 0.1."""
    parts = [part for part in text.split(b",") if part]
    if len(parts) > 2 * _PAIRS_LIMIT or not all(_is_number(part) for part in parts):
        raise BadArchive("a sparse map is no list of numbers")
    return from_numbers([int(part) for part in parts], size)


def from_body(exact: Callable[[int], bytes], stored: int, size: int) -> tuple[bytes, Regions]:
    """The map of PAX 1.0, read from the body; gives its bytes (whole blocks) too."""
    data = bytearray()
    numbers: list[int] = []
    wanted = -1
    rest = b""
    while wanted < 0 or len(numbers) < 2 * wanted:
        if len(data) + BLOCK > stored or len(numbers) > 2 * _PAIRS_LIMIT:
            raise BadArchive("a sparse map is cut off")
        block = exact(BLOCK)
        data += block
        *lines, rest = (rest + block).split(b"\n")
        for line in lines:
            if wanted >= 0 and len(numbers) == 2 * wanted:
                break
            if not _is_number(line):
                raise BadArchive("a sparse map is no list of numbers")
            if wanted < 0:
                wanted = int(line)
            else:
                numbers.append(int(line))
        if len(rest) > BLOCK:  # no number is as long, though zeros behind the last one may be
            raise BadArchive("a sparse map is no list of numbers")
    return bytes(data), from_numbers(numbers, size)


def _is_number(text: bytes) -> bool:
    return text.isdigit() and len(text) <= _DIGITS_LIMIT


def checked(pairs: list[tuple[int, int]], size: int) -> Regions:
    """The map without its empty regions; raises `BadArchive` unless it fits the file."""
    end = 0
    for offset, length in pairs:
        if offset < end or length < 0 or offset + length > size:
            raise BadArchive("a sparse map does not fit its file")
        end = offset + length
    return tuple((offset, length) for offset, length in pairs if length)


def to_body(regions: Regions, size: int) -> bytes:
    """The map of PAX 1.0, as whole blocks; the opposite of `from_body`.

    Where a hole ends the file, an empty region stands there: GNU tar sets the length by it.
    """
    end = sum(regions[-1]) if regions else 0
    pairs = regions if end == size else (*regions, (size, 0))
    text = b"%d\n" % len(pairs) + b"".join(b"%d\n%d\n" % pair for pair in pairs)
    return text + bytes(-len(text) % BLOCK)
