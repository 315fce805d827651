"""Every driver that a user of docker or podman can name, and what we say of it.

A name maps to its module on demand: adding a driver edits this one table.
"""

import os
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import NamedTuple, cast

from lamina.drivers.api import Driver, Features, Probe
from lamina.errors import ConfigurationError, DriverUnknown

PRIORITY = ("overlay2", "fuse-overlayfs", "btrfs", "zfs", "vfs")


class Entry(NamedTuple):
    """What the field says of a driver; `module` is empty while there is none here.

    `home` is the folder beneath the root, `standing` one of recommended, supported, legacy,
    last resort or removed, `cost` what it costs in disk. `folder` is where in its home its
    layers lie, `options` are the keys of `--storage-opt` that it knows. One that `shares` mounts
    keeps them in the run root; one that `unites` marks what is hidden as its features say;
    `copies_parents` and `keeps_tars` say what its layers take up.
    """

    name: str
    home: str
    module: str
    factory: str
    standing: str
    cost: str
    folder: str = ""
    options: tuple[str, ...] = ()
    shares: bool = False
    unites: bool = False
    copies_parents: bool = False
    keeps_tars: bool = False

    def probe(self, home: str, options: Iterable[str] = ()) -> Probe:
        """Try the driver out in `home`, with those of the options that are its own."""
        if not self.module:
            return Probe(False, "not written yet" if self.standing != "removed" else self.cost)
        probe = import_module(self.module).probe
        own = self.parse(each for each in options if each.partition("=")[0] in self.options)
        return cast("Probe", probe(home, own) if self.options else probe(home))

    def make(
        self, home: str, run: str, options: Iterable[str] = (), features: Features = ()
    ) -> Driver:
        """The driver on `home`; `run` is the store's volatile folder, which may come to be.

        `features` are what the store's layers were written by. `options` are `KEY=VALUE` texts;
        raises `ConfigurationError` for one that is not its own.
        """
        factory = getattr(import_module(self.module), self.factory)
        known = self.parse(options)
        arguments = (home, *([run] if self.shares else []), *([known] if self.options else []))
        named = {"features": features} if self.unites else {}
        return cast("Driver", factory(*arguments, **named))

    def parse(self, options: Iterable[str]) -> Mapping[str, str]:
        """The `KEY=VALUE` texts as a mapping; raises `ConfigurationError`."""
        known: dict[str, str] = {}
        for option in options:
            key, equals, value = option.partition("=")
            if not equals or not key or not value:
                raise ConfigurationError(
                    f"unable to parse storage-opt {option!r}", hint="write it as KEY=VALUE"
                )
            if key not in self.options:
                there = ", ".join(self.options) or "none"
                raise ConfigurationError(
                    f"{self.name}: unknown option {key}", hint=f"its options: {there}"
                )
            known[key] = value
        return known

    def layers(self, root: str) -> list[str]:
        """The names of what looks like layers of this driver beneath `root`."""
        try:
            found = os.listdir(os.path.join(root, self.home, self.folder))
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [name for name in found if len(name) == 64]


CATALOG: dict[str, Entry] = {
    entry.name: entry
    for entry in (
        Entry(
            "overlay2",
            "overlay2",
            "lamina.drivers.overlay2",
            "OverlayDriver",
            "recommended",
            "layers are shared; a changed file is copied up whole",
            options=("overlay2.size",),
            unites=True,
        ),
        Entry(
            "fuse-overlayfs",
            "fuse-overlayfs",
            "lamina.drivers.fuse_overlayfs",
            "FuseOverlayDriver",
            "supported",
            "layers are shared; every access passes through user space",
            unites=True,
        ),
        Entry(
            "btrfs",
            "btrfs",
            "lamina.drivers.btrfs",
            "BtrfsDriver",
            "supported",
            "layers share blocks by snapshots; a changed file takes up what changed of it",
            "subvolumes",
            ("btrfs.min_space",),
        ),
        Entry(
            "zfs",
            "zfs",
            "lamina.drivers.zfs",
            "ZfsDriver",
            "supported",
            "layers share blocks by clones; each is a dataset and a mount of its own",
            "graph",
            ("zfs.fsname",),
        ),
        Entry(
            "vfs",
            "vfs",
            "lamina.drivers.vfs",
            "VfsDriver",
            "last resort",
            "every layer is a full copy of all below it, unless the file system can reflink",
            "dir",
            copies_parents=True,
        ),
        Entry(
            "erofs",
            "erofs",
            "lamina.drivers.erofs",
            "ErofsDriver",
            "supported",
            "layers stay tars and are never unpacked; a changed file is copied up whole",
            shares=True,
            keeps_tars=True,
        ),
        Entry(
            "devicemapper",
            "devicemapper",
            "lamina.drivers.devicemapper",
            "DevicemapperDriver",
            "legacy",
            "layers share blocks of a thin pool of fixed size; a diff compares whole trees",
            "metadata",
            (
                "dm.thinpooldev",
                "dm.basesize",
                "dm.fs",
                "dm.loopdatasize",
                "dm.loopmetadatasize",
                "dm.min_free_space",
            ),
        ),
        Entry(
            "overlay",
            "overlay",
            "",
            "",
            "removed",
            "removed from the field: it hard-linked every lower file; overlay2 replaces it",
        ),
        Entry(
            "aufs",
            "aufs",
            "",
            "",
            "removed",
            "removed from the field: it was never in the kernel; overlay2 replaces it",
        ),
    )
}


def entry(name: str) -> Entry:
    """The catalogue's entry; raises `DriverUnknown`, naming the drivers there are."""
    found = CATALOG.get(name)
    if found is None:
        known = ", ".join(each.name for each in CATALOG.values() if each.module)
        raise DriverUnknown(f"no storage driver is called {name!r}", hint=f"there are {known}")
    return found
