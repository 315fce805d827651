"""Stores for the command to work on."""

import os
import subprocess
from collections.abc import Callable, Iterator
from functools import cache

import pytest

from tests.cli.rig import Lamina

_OF_FILES = ("overlay2", "fuse-overlayfs", "erofs", "vfs")  # drivers whose stores can be copied


@pytest.fixture
def lamina(tmp_path: os.PathLike[str]) -> Lamina:
    return Lamina(str(tmp_path))


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory, busybox_tar: str) -> str:
    """The root of a store that has the image `base`, which nobody works on."""
    made = Lamina(str(tmp_path_factory.mktemp("template")))
    made.ok("import", busybox_tar, "base")
    return made.root


@pytest.fixture
def base(lamina: Lamina, template: str) -> Lamina:
    """A store that has the image `base`: a copy, as an import takes ten times as long."""
    lamina.begin_as(template)
    return lamina


@pytest.fixture
def cleared(base: Lamina) -> Iterator[Lamina]:
    """The same; whatever containers are left of it are removed, running or not."""
    yield base
    left = base.ok("ps", "-aq").split()
    if left:
        base.ok("rm", "-f", *left)


@pytest.fixture(params=["crun", "runc"])
def by_each(
    cleared: Lamina, request: pytest.FixtureRequest, needs_program: Callable[[str], str]
) -> Lamina:
    """The same, by each runtime."""
    needs_program(request.param)
    cleared.env["LAMINA_ISOLATION"] = request.param
    return cleared


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory, template: str) -> Lamina:
    """The same for a whole file's tests: for those that change nothing which another looks at."""
    made = Lamina(str(tmp_path_factory.mktemp("standing")))
    made.begin_as(template)
    return made


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory, busybox_tar: str) -> Callable[[str], str]:
    """A function that gives the root of a store on a driver as `on` has it, to be copied."""

    @cache
    def of(driver: str) -> str:
        return _filled(Lamina(str(tmp_path_factory.mktemp(driver)), driver), busybox_tar).root

    return of


@pytest.fixture
def on(
    site: Callable[[str], str], templates: Callable[[str], str], busybox_tar: str
) -> Callable[[str], Lamina]:
    """A function that gives a store on a driver, with the images `bare` and `base` in it."""

    def make(driver: str) -> Lamina:
        made = Lamina(site(driver), driver)
        made.env["SOURCE_DATE_EPOCH"] = "1600000000"
        if driver not in _OF_FILES:
            return _filled(made, busybox_tar)
        made.begin_as(templates(driver))
        return made

    return make


def _filled(made: Lamina, busybox_tar: str) -> Lamina:
    made.env["SOURCE_DATE_EPOCH"] = "1600000000"
    made.ok("import", busybox_tar, "bare")
    dockerfile = b"FROM bare\nRUN mkdir -p /opt/old && echo hi > /etc/motd\n"
    made.ok("build", "-q", "-t", "base", "-", stdin=dockerfile)
    return made


@pytest.fixture
def ext4(
    tmp_path: os.PathLike[str], needs_program: Callable[[str], str]
) -> Iterator[Callable[..., str]]:
    """A function that mounts a new ext4 of so many bytes; gives where. Unmounted at the end."""
    mounted: list[str] = []

    def make(size: int, *options: str) -> str:
        image = os.path.join(tmp_path, f"disk{len(mounted)}")
        place = f"{image}.mounted"
        with open(image, "wb") as file:
            file.truncate(size)
        subprocess.run([needs_program("mkfs.ext4"), "-q", "-m", "0", *options, image], check=True)
        os.mkdir(place)
        subprocess.run(["mount", "-o", "loop", image, place], check=True)
        mounted.append(place)
        return place

    yield make
    for place in mounted:
        subprocess.run(["umount", place], check=True)
