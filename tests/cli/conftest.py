"""The command as users have it: a process of its own, a store of its own."""

import os
import shutil
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

    def __call__(
        self, *words: str, stdin: bytes | None = None, env: dict[str, str] | None = None
    ) -> Said:
        command = [sys.executable, "-m", "lamina", "--root", self.root]
        if self.driver is not None:
            command += ["--driver", self.driver]
        done = subprocess.run(
            [*command, *words],
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


@pytest.fixture(scope="session")
def busybox_tar(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A root file system of busybox alone, as a tar."""
    program = shutil.which("busybox")
    if program is None or b"statically linked" not in _file_kind(program):
        pytest.skip("needs a static busybox (package busybox-static)")
    folder = tmp_path_factory.mktemp("busybox")
    root = folder / "root"
    for name in ("bin", "etc", "tmp", "root"):
        (root / name).mkdir(parents=True)
    shutil.copy(program, root / "bin" / "busybox")
    names = subprocess.run([program, "--list"], capture_output=True, text=True, check=True)
    for name in names.stdout.split():
        if name != "busybox":
            (root / "bin" / name).symlink_to("busybox")
    (root / "etc" / "passwd").write_text(
        "root:x:0:0:root:/root:/bin/sh\nbob:x:1000:1000::/:/bin/sh\n"
    )
    (root / "etc" / "group").write_text("root:x:0:\nbob:x:1000:\nwheel:x:10:bob\n")
    path = folder / "busybox.tar"
    subprocess.run(
        [
            "tar",
            "--sort=name",
            "--owner=0",
            "--group=0",
            "--numeric-owner",
            "--mtime=@0",
            "-C",
            str(root),
            "-cf",
            str(path),
            ".",
        ],
        check=True,
    )
    return str(path)


def _file_kind(path: str) -> bytes:
    with open(path, "rb") as file:
        data = file.read(4096)
    return b"statically linked" if b"/ld-linux" not in data else b"dynamic"


@pytest.fixture
def base(lamina: Lamina, busybox_tar: str) -> Lamina:
    """A store that has the image `base`."""
    lamina.ok("import", busybox_tar, "base")
    return lamina


Run = Callable[..., Said]
