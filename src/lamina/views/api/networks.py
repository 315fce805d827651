"""The two networks that there are, this machine's and none, as the Engine API shows networks."""

import hashlib

from lamina.engine.container import Container
from lamina.engine.engine import Engine
from lamina.views.api import Document

NAMES = {"none": "null", "host": "host"}


def network_id(engine: Engine, name: str) -> str:
    """An ID that stays the network's as long as the store is there."""
    return hashlib.sha256(f"{engine.root.uuid} network {name}".encode()).hexdigest()


def network(engine: Engine, name: str, *, connected: bool = False) -> Document:
    """A network; its running containers are told only where they are asked for."""
    users = engine.containers.list() if connected else []
    return {
        "Name": name,
        "Id": network_id(engine, name),
        "Created": "0001-01-01T00:00:00Z",  # it was always there
        "Scope": "local",
        "Driver": NAMES[name],
        "EnableIPv4": True,
        "EnableIPv6": False,
        "IPAM": {"Driver": "default", "Options": None, "Config": []},
        "Internal": False,
        "Attachable": False,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": {
            str(each.id): _user(engine, each) for each in users if each.settings.network == name
        },
        "Options": {},
        "Labels": {},
    }


def _user(engine: Engine, container: Container) -> Document:
    end = endpoint(engine, container.settings.network, container.id)
    address = {"MacAddress": "", "IPv4Address": "", "IPv6Address": ""}
    return {"Name": container.name, "EndpointID": end["EndpointID"], **address}


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
