"""Do EROFS images over tars work on this file system? Found out by trying, never by a version.

A small layer is made and mounted, from its files or by loop devices, and stacked below a
writable directory, in which one of its directories is then removed.
"""

import os

from lamina.archive.entry import FILE, Entry
from lamina.archive.erofs.layer import write_layer
from lamina.archive.writer import segments
from lamina.drivers.api import Probe
from lamina.drivers.features import IMAGES
from lamina.drivers.scratch import scratch
from lamina.errors import LaminaError
from lamina.fs.dtype import supports_dtype
from lamina.fs.erofs import FILES, Erofs, mount_image
from lamina.fs.mounting import MountPlan, Stacked, attach, in_private_namespace
from lamina.kernel.statfs import filesystem_name

_BODY = b"probe"
_FOLDERS = ("layer", "tree", "upper", "work", "merged")


def try_out(home: str) -> Probe:
    """Try it in `home`, or beside it where it is yet to be made."""
    try:
        with scratch(home, *_FOLDERS) as folder:
            return _try(folder)
    except OSError as error:
        return Probe(False, f"{home} cannot be written: {error.strerror}")


def way_of_mounting(home: str) -> str:
    """How images in `home` are mounted, found out by mounting one."""
    try:
        with scratch(home, *_FOLDERS) as folder:
            return f"by {_mount(folder)}"
    except (OSError, LaminaError) as error:
        return f"not at all ({_words(error)})"


def _try(folder: str) -> Probe:
    backing = filesystem_name(folder)
    try:
        way = _mount(folder)
        in_private_namespace(lambda: _stack(folder))
    except (OSError, LaminaError) as error:
        return Probe(False, f"an EROFS image on {backing} was refused: {_words(error)}")
    if not supports_dtype(folder):
        return Probe(False, f"{backing} here keeps no d_type in its directory entries")
    how = "from its files" if way == FILES else "by loop devices (it takes no file as a source)"
    said = f"mounted an image on {backing} {how}, below a writable directory"
    return Probe(True, said, ((IMAGES, f"by {way}"),))


def _words(error: OSError | LaminaError) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)


def _mount(folder: str) -> str:
    def body() -> int:
        return os.open(os.path.join(folder, "body"), os.O_RDONLY | os.O_CLOEXEC)

    with open(os.path.join(folder, "body"), "wb") as made:
        made.write(_BODY)
    entries = iter([(Entry(b"d/file", FILE, 0o644, size=len(_BODY)), body)])
    write_layer(os.path.join(folder, "layer"), segments(entries, len), None, None)
    mounted, way = mount_image(*_step(folder)[:2])
    try:
        with open(f"/proc/self/fd/{mounted}/d/file", "rb") as file:
            if file.read() != _BODY:
                raise OSError(0, "a file of the image reads as something else")
    finally:
        os.close(mounted)
    return way


def _step(folder: str) -> Erofs:
    layer = os.path.join(folder, "layer")
    tar = os.path.join(layer, "layer.tar")
    return Erofs(os.path.join(layer, "layer.erofs"), (tar,), os.path.join(folder, "tree"), None)


def _stack(folder: str) -> None:
    def at(name: str) -> str:
        return os.path.join(folder, name)

    attach(MountPlan(Stacked((_step(folder),), at("upper"), at("work"))), at("merged"))
    os.unlink(os.path.join(at("merged"), "d", "file"))
    os.rmdir(os.path.join(at("merged"), "d"))
    if os.path.lexists(os.path.join(at("merged"), "d")):
        raise OSError(0, "a removed directory is still listed")
