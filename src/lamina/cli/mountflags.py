"""The flags that say what a container is shown, as docker spells them."""

from typing import TypedDict

from lamina.cli.flags import Flag, Parsed

FLAGS = (
    Flag("mount", "", "OPTIONS", "type=bind|volume|tmpfs,source=...,target=...,readonly", True),
    Flag("volume", "v", "[SOURCE:]TARGET[:ro]", "show it a path of this machine or a volume", True),
    Flag("volumes-from", "", "CONTAINER[:ro]", "show it what another container is shown", True),
)


class Mounted(TypedDict):
    """A part of `lamina.engine.wishes.Wanted`."""

    volumes: list[str]
    mounts: list[str]
    volumes_from: list[str]


def mounted(given: Parsed) -> Mounted:
    """What the flags ask for."""
    return Mounted(
        volumes=given.all("volume"),
        mounts=given.all("mount"),
        volumes_from=given.all("volumes-from"),
    )
