"""The command as users have it: a process of its own, a store of its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest


class Said(NamedTuple):
    """What a command wrote, and how it ended."""

    code: int
    out: str
    err: str


class Lamina:
    """Runs the command on one root."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.root = os.path.join(folder, "root")
        self.env = {**os.environ, "LAMINA_RUN_ROOT": os.path.join(folder, "run")}
        self.driver: str | None = None

    def command(self, *words: str) -> list[str]:
        """The whole argument list of a command."""
        driver = ["--driver", self.driver] if self.driver is not None else []
        return [sys.executable, "-m", "lamina", "--root", self.root, *driver, *words]

    def __call__(
        self, *words: str, stdin: bytes | None = None, env: dict[str, str] | None = None
    ) -> Said:
        done = subprocess.run(
            self.command(*words),
            input=stdin if stdin is not None else b"",
            capture_output=True,
            env={**self.env, **(env or {})},
            cwd=self.folder,
            timeout=120,
            check=False,
        )
        return Said(done.returncode, done.stdout.decode(), done.stderr.decode())

    def ok(self, *words: str, stdin: bytes | None = None) -> str:
        """The output of a command that must succeed."""
        said = self(*words, stdin=stdin)
        assert said.code == 0, said
        assert "Traceback" not in said.err
        return said.out


@pytest.fixture
def lamina(tmp_path: os.PathLike[str]) -> Lamina:
    return Lamina(str(tmp_path))


@pytest.fixture
def base(lamina: Lamina, busybox_tar: str) -> Lamina:
    """A store that has the image `base`."""
    lamina.ok("import", busybox_tar, "base")
    return lamina


Run = Callable[..., Said]


@pytest.fixture
def on(site: Callable[[str], str], busybox_tar: str) -> Callable[[str], Lamina]:
    """A function that gives a store on a driver, with the images `bare` and `base` in it."""

    def make(driver: str) -> Lamina:
        made = Lamina(site(driver))
        made.driver = driver
        made.env["SOURCE_DATE_EPOCH"] = "1600000000"
        with open(f"{made.folder}/Dockerfile", "w", encoding="utf-8") as file:
            file.write("FROM bare\nRUN mkdir -p /opt/old && echo hi > /etc/motd\n")
        made.ok("import", busybox_tar, "bare")
        made.ok("build", "-q", "-t", "base", made.folder)
        return made

    return make
