"""Which foreign formats this kernel was taught to execute (binfmt_misc): read, and never written.

    /proc/sys/fs/binfmt_misc where it is mounted, else a look at the same that is mounted nowhere

A handler goes by the first bytes of a file or by the end of its name
(Documentation/admin-guide/binfmt-misc.rst).
"""

import os

from lamina.kernel import mount as kernel

_PLACE = "/proc/sys/fs/binfmt_misc"  # it is there, empty or not, when the kernel has binfmt_misc
_OWN = ("register", "status")
_LIMIT = 4096  # bytes of what is said of a handler


def knows(head: bytes, name: bytes) -> bool | None:
    """Whether a file of that name that begins so has a handler; None where that cannot be seen."""
    if not os.path.isdir(_PLACE):
        return False
    try:
        handlers = _opened()
    except OSError:
        return None
    try:
        if not _said(handlers, "status").startswith("enabled"):
            return False
        names = [each for each in os.listdir(handlers) if each not in _OWN]
        return any(_takes(_said(handlers, each), head, name) for each in names)
    except (OSError, ValueError):
        return None
    finally:
        os.close(handlers)


def _opened() -> int:
    place = os.open(_PLACE, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    if os.listdir(place):
        return place
    os.close(place)
    context = kernel.fsopen("binfmt_misc")
    try:
        kernel.fsconfig_create(context)
        mounted = kernel.fsmount(context)
    finally:
        os.close(context)
    try:
        return os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=mounted)
    finally:
        os.close(mounted)


def _said(handlers: int, name: str) -> str:
    descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=handlers)
    try:
        return os.read(descriptor, _LIMIT).decode("utf-8", "replace")
    finally:
        os.close(descriptor)


def _takes(said: str, head: bytes, name: bytes) -> bool:
    """Whether a handler, as the kernel describes it, is for such a file."""
    first, *lines = said.splitlines() or [""]
    if first != "enabled":
        return False
    facts = dict(line.partition(" ")[::2] for line in lines)
    if "extension" in facts:
        return name.endswith(os.fsencode(facts["extension"]))
    magic = bytes.fromhex(facts.get("magic", ""))
    mask = bytes.fromhex(facts.get("mask", "")) or b"\xff" * len(magic)
    start = int(facts.get("offset", "0"))
    found = head[start : start + len(magic)]
    return len(found) == len(magic) > 0 and all(
        not (one ^ other) & bits for one, other, bits in zip(found, magic, mask, strict=True)
    )
