"""The command as users have it, a process of its own on a store of its own; and what it left."""

import io
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any, NamedTuple

from lamina.cli.main import main

_PATIENCE = 20.0  # seconds; a bound, never a wait


class Said(NamedTuple):
    """What a command wrote, and how it ended."""

    code: int
    out: str
    err: str


class Lamina:
    """Runs the command on one root."""

    def __init__(self, folder: str, driver: str | None = None) -> None:
        self.folder = folder
        self.root = os.path.join(folder, "root")
        self.env = {**os.environ, "LAMINA_RUN_ROOT": os.path.join(folder, "run")}
        self.driver = driver

    def begin_as(self, template: str) -> None:
        """Have a store of its own that is a copy of another's root."""
        subprocess.run(["cp", "-a", template, self.root], check=True)

    def command(self, *words: str) -> list[str]:
        """The whole command line."""
        driver = ["--driver", self.driver] if self.driver is not None else []
        return [sys.executable, "-m", "lamina", "--root", self.root, *driver, *words]

    def __call__(
        self,
        *words: str,
        stdin: bytes | None = None,
        env: dict[str, str] | None = None,
        prefix: tuple[str, ...] = (),
    ) -> Said:
        done = subprocess.run(
            [*prefix, *self.command(*words)],
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

    def write(self, name: str, data: bytes | str) -> str:
        """A file of that content beside the store; its path."""
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data if isinstance(data, bytes) else data.encode())
        return path

    def inventory(self) -> list[str]:
        """Every file and folder that grows with images, containers and work in progress."""
        found = []
        for name in ("blobs", "index", "staging", "trash", "containers", "quarantine"):
            found += tree(f"{self.root}/{name}")
        for name in ("vfs", "overlay2", "locks/leases"):
            found += tree(f"{self.root}/{name}")
        return found


def told(lamina: Lamina, *words: str) -> Any:
    """What a command says as JSON."""
    return json.loads(lamina.ok(*words))


def in_process(root: str) -> Callable[..., str]:
    """A function that runs the command in this process, on a store at `root` on vfs."""
    store = ["--root", root, "--run-root", f"{root}.run", "--driver", "vfs"]

    def run(*words: str) -> str:
        with redirect_stdout(io.StringIO()) as out:
            assert main([*store, *words]) == 0
        return out.getvalue()

    return run


def until(is_so: Callable[[], bool]) -> None:
    """Look until it is so."""
    limit = time.monotonic() + _PATIENCE
    while not is_so():
        assert time.monotonic() < limit, "it never came"


def until_told(lamina: Lamina, name: str) -> None:
    """Until others are told that the container runs: its row is written once it has started."""
    until(lambda: name in lamina.ok("ps", "--format", "{{.Names}}").split())


def build_app(base: Lamina, dockerfile: str, **files: str) -> Lamina:
    """The same store with the image `app`, built of these files."""
    for name, content in {"Dockerfile": dockerfile, **files}.items():
        base.write(name, content)
    base.ok("build", "-q", "-t", "app", base.folder)
    return base


def assert_refuses(lamina: Lamina, verb: str, layers: int) -> None:
    """`slim` and `squash` refuse layers that are not there, names that are none; nothing is left."""
    with nothing_left(lamina):
        beyond = str(layers + 1)
        assert_complaint(
            lamina(verb, "app", "--from", beyond), f"{layers} layers", f"number {beyond}"
        )
        assert_complaint(lamina(verb, "app", "--from", "0"), "counted from 1")
        assert_complaint(lamina(verb, "none"), "no such image: none")
        assert_complaint(lamina(verb, "app", "-t", "UPPER"), "UPPER")


def tree(path: str) -> list[str]:
    """Every path beneath a folder, sorted."""
    return sorted(
        os.path.join(base, name)
        for base, folders, files in os.walk(path)
        for name in (*folders, *files)
    )


@contextmanager
def nothing_left(lamina: Lamina) -> Iterator[None]:
    """Whatever happens within, the store's files are afterwards what they were."""
    before = lamina.inventory()
    yield
    assert lamina.inventory() == before


EXCERPT = re.compile(r"^(\S.*):(\d+)\n-{20}\n((?: .*\n)+)-{20}\n", re.MULTILINE)
"""A Dockerfile's lines as an error shows them: its name, the line, and the rows."""
LAST_WORDS = re.compile(r"^------\n > .*:\n(?:.*\n)*?------\n", re.MULTILINE)
"""The end of what a failed step wrote."""


def untimed(text: str) -> str:
    """A build's plain progress without the seconds beside what steps write."""
    return re.sub(r"^(#\d+) \d+\.\d{1,3} ", r"\1 ", text, flags=re.MULTILINE)


def assert_complaint(said: Said, *wanted: str, code: int = 1) -> None:
    """One line of complaint that says all of `wanted`, beneath a build's progress if any."""
    assert said.code == code, said
    *progress, last = EXCERPT.sub("", LAST_WORDS.sub("", said.err)).splitlines() or [""]
    assert all(line.startswith("#") for line in progress), said
    assert last.startswith("lamina: "), said
    assert "internal error" not in last
    for text in wanted:
        assert text in last, said
