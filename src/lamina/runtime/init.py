"""The small first process of a container that asks for one (`--init`).

It must be linked statically: an image has another loader and other libraries, or none.
"""

from lamina.errors import ProgramMissing
from lamina.runtime import elf
from lamina.runtime.isolation import find_program

PLACE = "/sbin/docker-init"  # where docker shows it, too
_NAMES = ("docker-init", "tini-static", "catatonit", "tini")
_HEAD = 4096  # bytes


def find_init() -> str:
    """The path of one that is installed; raises `ProgramMissing` naming the packages."""
    for name in _NAMES:
        path = find_program(name)
        if path is not None and _is_static(path):
            return path
    raise ProgramMissing(
        "no init for containers is installed", hint="install tini (tini-static) or catatonit"
    )


def _is_static(path: str) -> bool:
    with open(path, "rb") as file:
        head = file.read(_HEAD)
    return head.startswith(elf.MAGIC) and not elf.loader(head)
