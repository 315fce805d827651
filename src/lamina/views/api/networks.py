"""The two networks that there are, this machine's and none, as the Engine API shows networks."""

import hashlib

from lamina.engine.engine import Engine
from lamina.views.api import Document

NAMES = {"none": "null", "host": "host"}


def network_id(engine: Engine, name: str) -> str:
    """An ID that stays the network's as long as the store is there."""
    return hashlib.sha256(f"{engine.root.uuid} network {name}".encode()).hexdigest()


def endpoint(engine: Engine, name: str, container: str) -> Document:
    """A container's end of a network; with its ID while it is connected."""
    told = f"{network_id(engine, name)} {container}".encode()
    return {
        "IPAMConfig": None,
        "Links": None,
        "Aliases": None,
        "NetworkID": network_id(engine, name) if container else "",
        "EndpointID": hashlib.sha256(told).hexdigest() if container else "",
        "Gateway": "",
        "IPAddress": "",
        "IPPrefixLen": 0,
        "IPv6Gateway": "",
        "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0,
        "MacAddress": "",
        "DriverOpts": None,
    }
