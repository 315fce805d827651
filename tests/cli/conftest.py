"""Stores for the command to work on."""

import os
from collections.abc import Callable

import pytest
from rig import Lamina


@pytest.fixture
def lamina(tmp_path: os.PathLike[str]) -> Lamina:
    return Lamina(str(tmp_path))


@pytest.fixture
def base(lamina: Lamina, busybox_tar: str) -> Lamina:
    """A store that has the image `base`."""
    lamina.ok("import", busybox_tar, "base")
    return lamina


@pytest.fixture
def on(site: Callable[[str], str], busybox_tar: str) -> Callable[[str], Lamina]:
    """A function that gives a store on a driver, with the images `bare` and `base` in it."""

    def make(driver: str) -> Lamina:
        made = Lamina(site(driver), driver)
        made.env["SOURCE_DATE_EPOCH"] = "1600000000"
        made.write("Dockerfile", "FROM bare\nRUN mkdir -p /opt/old && echo hi > /etc/motd\n")
        made.ok("import", busybox_tar, "bare")
        made.ok("build", "-q", "-t", "base", made.folder)
        return made

    return make
