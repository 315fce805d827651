"""The devicemapper driver: a layer is a thin device, its child a snapshot of it.

Legacy in the field: docker dropped it in version 25. Needs no program but mkfs.
"""

from lamina.drivers.devicemapper.driver import DevicemapperDriver
from lamina.drivers.devicemapper.probe import probe

__all__ = ["DevicemapperDriver", "probe"]
