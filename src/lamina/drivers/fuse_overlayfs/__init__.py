"""The fuse-overlayfs driver: overlay2's layers, united by a program in user space.

For where the kernel's overlayfs cannot be used; same layout as docker's driver of that name.
"""

from lamina.drivers.fuse_overlayfs.driver import FuseOverlayDriver
from lamina.drivers.fuse_overlayfs.probe import probe

__all__ = ["FuseOverlayDriver", "probe"]
