"""Containers: an image, a read-write layer of its own, and how its process went.

The meeting place of images, layers and execution; knows no command line and no wire format.
"""

from lamina.containers.settings import Settings, Wishes
from lamina.containers.store import ContainerStore, StoredContainer

__all__ = ["ContainerStore", "Settings", "StoredContainer", "Wishes"]
