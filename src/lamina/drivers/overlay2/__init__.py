"""The overlay2 driver: layers as directories that the kernel's overlayfs unites.

Same layout and modes as docker's (drivers/overlay2 of moby), so that an operator's eye and
tools find what they know.
"""

from collections.abc import Mapping

from lamina.drivers.api import Probe
from lamina.drivers.overlay2.driver import OverlayDriver

__all__ = ["OverlayDriver", "probe"]


def probe(home: str, options: Mapping[str, str] | None = None) -> Probe:
    """Try the driver out in `home`; most commands trust what was found on this boot."""
    from lamina.drivers.overlay2.trial import try_out

    return try_out(home, options)
