"""Limits on what a layer may hold: a project quota, or a file system of its own.

Only xfs and ext4 mounted with project quotas can do the first, where each limited layer is a
project; what cannot is found out by trying. The second does on any of them.
"""

import os
from collections.abc import Callable

from lamina.drivers.overlay2.layout import Layout
from lamina.errors import DriverNotSupported, from_oserror
from lamina.fs import limited
from lamina.kernel import quota
from lamina.values.ids import LayerID

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
_FIRST = 1 << 20  # numbers below are people's own, in /etc/projid
_MASK = (1 << 31) - 1


def create(
    layout: Layout,
    layer: LayerID,
    size: int,
    by_file: bool,
    make: Callable[[LayerID, LayerID | None], None],
    parent: LayerID | None,
) -> None:
    """Let `make` make a layer over `parent` that may hold `size` bytes.

    Raises `DriverNotSupported` or another `StorageError`, or `ProgramMissing`.
    """
    try:
        project = begin(layout, layer, size)
    except DriverNotSupported:
        if not by_file:
            raise
        project = 0
    make(layer, parent)
    try:
        layout.note_limit(layer, size, by_file=not project)
        if project:
            settle(layout, layer, project)
        else:
            limited.make(layout.path(layer, "limited"), size)
    except OSError as error:
        raise from_oserror(error, "limiting", layout.path(layer)) from error


def begin(layout: Layout, layer: LayerID, size: int) -> int:
    """A project that may hold `size` bytes, for a layer yet to be made.

    Raises `DriverNotSupported` where the file system has no project quotas.
    """
    number = _free(layout, layer)
    try:
        quota.limit_project(layout.device, number, size)
    except OSError as error:
        raise DriverNotSupported(
            "--storage-opt size is supported only for overlay over xfs or ext4 mounted with "
            f"project quotas ('pquota'), which {layout.home} is not: {error.strerror}",
            hint="leave it out, or mount the file system below with `-o pquota`",
        ) from error
    return number


def settle(layout: Layout, layer: LayerID, number: int) -> None:
    """Let all of a layer that was just made, and is empty, belong to the project; OSError."""
    for path in (layout.path(layer), layout.diff(layer), layout.work(layer)):
        if os.path.isdir(path):
            directory = os.open(path, _DIRECTORY)
            try:
                quota.set_project(directory, number)
            finally:
                os.close(directory)


def end(layout: Layout, layer: LayerID) -> None:
    """Forget the limit of a layer that is to be removed; nothing when it has none."""
    number = _project(layout, layer)
    if number >= _FIRST:
        try:
            quota.limit_project(layout.device, number, 0)
        except OSError:
            pass  # quotas were switched off since: there is nothing to forget


def _free(layout: Layout, layer: LayerID) -> int:
    """A number like the layer's own, which no other layer has."""
    names = [LayerID(name) for name in os.listdir(layout.home) if len(name) == 64]
    taken = {_project(layout, each) for each in names}
    number = int(layer[:8], 16) & _MASK | _FIRST
    while number in taken:
        number = (number + 1) & _MASK | _FIRST
    return number


def _project(layout: Layout, layer: LayerID) -> int:
    try:
        directory = os.open(layout.path(layer), _DIRECTORY)
    except OSError:
        return 0  # not there, or half made
    try:
        return quota.project(directory)
    except OSError:
        return 0  # a file system without projects
    finally:
        os.close(directory)
