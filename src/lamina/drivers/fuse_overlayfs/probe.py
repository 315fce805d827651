"""Does fuse-overlayfs work here? Its version is asked, then it is tried on real directories."""

import errno
import os
import stat

from lamina.drivers.api import OPAQUE, Features, Probe
from lamina.drivers.features import REFLINK, WHITEOUTS, reflink
from lamina.drivers.fuse_overlayfs.driver import united
from lamina.drivers.fuse_overlayfs.program import LEAST, find, version
from lamina.drivers.overlay2.trial import FOLDERS
from lamina.drivers.scratch import scratch
from lamina.errors import LaminaError
from lamina.fs.marks import FUSE
from lamina.fs.mounting import MountPlan, open_detached
from lamina.kernel import xattr
from lamina.kernel.statfs import filesystem_name


def probe(home: str) -> Probe:
    """Try it in `home`, or beside it where it is yet to be made."""
    try:
        program = find()
        found = version(program)
    except OSError as error:
        return Probe(False, f"fuse-overlayfs cannot be run: {error.strerror}")
    except LaminaError as error:
        return Probe(False, f"{error.brief}; {error.hint}")
    if found is None or found < LEAST:
        what = "of unknown version" if found is None else "{}.{}".format(*found)
        return Probe(
            False, "{} is {}, {}.{} is the least that is understood".format(program, what, *LEAST)
        )
    return _tried(home, program, "{}.{}".format(*found))


def _tried(home: str, program: str, said: str) -> Probe:
    try:
        with scratch(home, *FOLDERS) as folder:
            return _try(folder, program, said)
    except OSError as error:
        return Probe(False, f"{home} cannot be written: {error.strerror}")


def _try(folder: str, program: str, said: str) -> Probe:
    try:
        _unite(folder, program)
    except (OSError, LaminaError) as error:
        return Probe(False, f"fuse-overlayfs {said} on {filesystem_name(folder)} refused: {error}")
    said = f"fuse-overlayfs {said} united two lower directories and an upper one"
    features: Features = (
        (WHITEOUTS, "devices 0:0"),
        (OPAQUE, os.fsdecode(_attribute(folder))),
        (REFLINK, reflink(folder)),
    )
    return Probe(True, said, features)


def _attribute(folder: str) -> bytes:
    """What marks an opaque directory: in a user namespace only the program's own may be set."""
    for name in FUSE.opaque:
        try:
            xattr.set_value(os.fsencode(folder), name, b"n")
        except OSError:
            continue
        return name
    raise OSError(errno.EOPNOTSUPP, "the file system keeps no extended attributes")


def _unite(folder: str, program: str) -> None:
    def at(*names: str) -> str:
        return os.path.join(folder, *names)

    for name in ("d", "gone", "opaque/below"):
        os.makedirs(at("lower1", name))
    os.mknod(at("lower2", "gone"), stat.S_IFCHR, 0)
    os.mkdir(at("lower2", "opaque"))
    xattr.set_value(os.fsencode(at("lower2", "opaque")), _attribute(folder), b"y")
    step = united(program, (at("lower2"), at("lower1")), at("upper"), at("work"))
    mounted = open_detached(MountPlan(step))
    try:
        os.rmdir("d", dir_fd=mounted)
        inside = os.open("opaque", os.O_RDONLY | os.O_DIRECTORY, dir_fd=mounted)
        try:
            left = [*os.listdir(mounted), *os.listdir(inside)]
        finally:
            os.close(inside)
        if left != ["opaque"]:
            raise OSError(0, f"what is marked as gone is still listed ({', '.join(left)})")
    finally:
        os.close(mounted)
