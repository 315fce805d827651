"""The btrfs driver: a layer is a subvolume, its child a snapshot of it.

Same layout as docker's (daemon/graphdriver/btrfs of moby); needs no program of btrfs-progs.
"""

from lamina.drivers.btrfs.driver import BtrfsDriver
from lamina.drivers.btrfs.probe import probe

__all__ = ["BtrfsDriver", "probe"]
