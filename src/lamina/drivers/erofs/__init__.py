"""The erofs driver: a layer stays the tar it is, beside an image that says where its files are.

Nothing is unpacked; the kernel mounts the images, and overlayfs unites them
(docs/adr/0005-erofs-layers-and-their-mounts.md).
"""

from lamina.drivers.erofs.driver import ErofsDriver
from lamina.drivers.erofs.probe import probe

__all__ = ["ErofsDriver", "probe"]
