"""The erofs driver: a layer stays the tar it is, beside an image that says where its files are.

Nothing is unpacked; the kernel mounts the images, and overlayfs unites them
(docs/adr/0005-erofs-layers-and-their-mounts.md).
"""

from lamina.drivers.api import Probe
from lamina.drivers.erofs.driver import ErofsDriver

__all__ = ["ErofsDriver", "probe"]


def probe(home: str) -> Probe:
    """Try the driver out in `home`; most commands trust what was found on this boot."""
    from lamina.drivers.erofs.trial import try_out

    return try_out(home)
