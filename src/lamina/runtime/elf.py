"""The two facts of an ELF file that decide whether it can be executed: machine and loader.

Reads only the first page it is handed; what lies beyond counts as not told (System V ABI,
"ELF header" and "Program header").
"""

import struct

MAGIC = b"\x7fELF"
_PT_INTERP = 3
_ENTRIES = 64  # more program headers than any linker writes
_PATH = 256  # bytes


def machine(head: bytes) -> int:
    """The e_machine number (elf.h)."""
    return int.from_bytes(head[18:20], "little" if is_little(head) else "big")


def is_little(head: bytes) -> bool:
    """Whether its numbers begin with the least byte (EI_DATA)."""
    return head[5:6] == b"\x01"


def loader(head: bytes) -> bytes:
    """The dynamic loader's path (PT_INTERP); nothing for a static program."""
    try:
        for kind, offset, size in _program_headers(head):
            if kind == _PT_INTERP:
                return head[offset : offset + min(size, _PATH)].rstrip(b"\0")
    except struct.error:
        pass  # cut short: not told
    return b""


def _program_headers(head: bytes) -> list[tuple[int, int, int]]:
    """Type, file offset and file size of each."""
    order = "<" if head[5:6] == b"\x01" else ">"
    if head[4:5] == b"\x02":  # ELFCLASS64
        (table,) = struct.unpack_from(order + "Q", head, 32)
        size, count = struct.unpack_from(order + "HH", head, 54)
        layout, offset_field, size_field = order + "IIQQQQ", 2, 5
    else:
        (table,) = struct.unpack_from(order + "I", head, 28)
        size, count = struct.unpack_from(order + "HH", head, 42)
        layout, offset_field, size_field = order + "IIIII", 1, 4
    headers = []
    for index in range(min(count, _ENTRIES)):
        fields = struct.unpack_from(layout, head, table + index * size)
        headers.append((fields[0], fields[offset_field], fields[size_field]))
    return headers
