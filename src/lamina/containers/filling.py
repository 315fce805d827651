"""Volumes made ready for a start: an empty one gets what the image has in its place.

docker's copy-up. It is copied aside first: whoever is killed meanwhile leaves the volume empty, and
the next start begins anew.
"""

import os

from lamina.containers.volumes import VolumeStore
from lamina.fs.mounting import MountPlan, detached
from lamina.runtime.process import Volume
from lamina.values.ids import ContainerID


def fill(
    store: VolumeStore, container: ContainerID, volumes: tuple[Volume, ...], plan: MountPlan
) -> None:
    """Fill those that are empty from the container's root, which `plan` mounts; raises OSError."""
    empty = [
        each for each in volumes if each.is_kept and each.copies and _is_new(store, container, each)
    ]
    if not empty:
        return
    with detached(plan) as root:
        for each in empty:
            _copy_from(root, each.target, store.made(each.name), store.staged(each.name))


def _is_new(store: VolumeStore, container: ContainerID, volume: Volume) -> bool:
    """Whether nothing is in it (CVE-2020-1726), and no other container may be looking."""
    return not os.listdir(store.made(volume.name)) and not store.is_shared(volume.name, container)


def _copy_from(root: int, target: str, place: str, staged: str) -> None:
    """Copy what is at `target` in the root, if it is a directory (CVE-2022-23648: in the root)."""
    from lamina.fs.inroot import Root

    with Root(os.dup(root)) as opened:
        try:
            source = opened.open(os.fsencode(target), os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            return  # nothing to copy
    try:
        _copy(source, place, staged)
    finally:
        os.close(source)


def _copy(source: int, place: str, staged: str) -> None:
    from lamina.fs.copy import copy_tree
    from lamina.fs.remove import remove_tree

    remove_tree(staged)  # of a killed one
    os.mkdir(staged, 0o700)
    made = os.open(staged, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        copy_tree(source, made)
    finally:
        os.close(made)
    os.rename(staged, place)  # an empty directory gives way
