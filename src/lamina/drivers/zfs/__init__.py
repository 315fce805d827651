"""The zfs driver: a layer is a dataset, its child a clone of its snapshot.

Through zfs(8) alone: the same commands work with OpenZFS and with zfs-fuse.
"""

from lamina.drivers.zfs.driver import ZfsDriver
from lamina.drivers.zfs.probe import probe

__all__ = ["ZfsDriver", "probe"]
