"""The overlay2 driver: layers as directories that the kernel's overlayfs unites.

Same layout and modes as docker's (drivers/overlay2 of moby), so that an operator's eye and
tools find what they know.
"""

from lamina.drivers.overlay2.driver import OverlayDriver
from lamina.drivers.overlay2.probe import probe

__all__ = ["OverlayDriver", "probe"]
