"""Does fuse-overlayfs work here? Its version is asked, then it is tried on real directories."""

import os

from lamina.drivers.api import Probe
from lamina.drivers.fuse_overlayfs.driver import united
from lamina.drivers.fuse_overlayfs.program import LEAST, find, version
from lamina.drivers.overlay2.probe import FOLDERS
from lamina.drivers.scratch import scratch
from lamina.errors import LaminaError
from lamina.fs.mounting import MountPlan, open_detached
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
    return Probe(True, f"fuse-overlayfs {said} united two lower directories and an upper one")


def _unite(folder: str, program: str) -> None:
    def at(name: str) -> str:
        return os.path.join(folder, name)

    os.mkdir(os.path.join(at("lower1"), "d"))
    step = united(program, (at("lower2"), at("lower1")), at("upper"), at("work"))
    mounted = open_detached(MountPlan(step))
    try:
        os.rmdir("d", dir_fd=mounted)
        if os.listdir(mounted):
            raise OSError(0, "a removed directory is still listed")
    finally:
        os.close(mounted)
