"""What an image's head alone says: all that mounting it needs to know."""

import os

from lamina.archive.erofs import format as erofs
from lamina.errors import StoreDamaged

HINT = "remove the image that the layer belongs to and get it again"


def device_blocks(path: str) -> list[int]:
    """How many blocks the image at `path` says that each file beside it has.

    Reads its head alone. Raises `StoreDamaged`, or OSError.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        head = os.pread(descriptor, erofs.BLOCK, erofs.SUPER_AT)
    finally:
        os.close(descriptor)
    if len(head) != erofs.BLOCK or int.from_bytes(head[:4], "little") != erofs.MAGIC:
        raise StoreDamaged(f"{path} is no EROFS image", hint=HINT)
    count = erofs.SuperBlock.unpack(head[: erofs.SUPER_SIZE]).devices
    slots = [
        head[at : at + erofs.DEVICE_SIZE]
        for at in range(erofs.SUPER_SIZE, erofs.BLOCK, erofs.DEVICE_SIZE)
    ]
    return [erofs.Device.unpack(slot).blocks for slot in slots[:count]]
