"""`lamina serve` as users have it, and clients of it: docker's own, and bare HTTP."""

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.cli.rig import Lamina, Said
from tests.conftest import lacking

PATIENCE = 60.0  # seconds; a bound, never a wait
OWN = "/usr/bin/docker"  # Debian's, of the age of its dockerd


class Answer(NamedTuple):
    """What a server answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as a document."""
        return json.loads(self.body)

    @property
    def message(self) -> str:
        """What an error says."""
        return str(self.json()["message"])

    def records(self) -> list[Any]:
        """The records of a stream."""
        return [json.loads(line) for line in self.body.split(b"\r\n") if line]


class Http(http.client.HTTPConnection):
    """One connection to a UNIX socket."""

    def __init__(self, path: str) -> None:
        super().__init__("docker", timeout=PATIENCE)
        self._path = path

    def connect(self) -> None:
        self.sock = connected(self._path)


def connected(path: str) -> socket.socket:
    """A bare connection."""
    found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    found.settimeout(PATIENCE)
    found.connect(path)
    return found


class Api:
    """One server, as bare HTTP sees it."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __call__(
        self, method: str, target: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Answer:
        said = dict(headers or {})
        if isinstance(body, dict):
            body = json.dumps(body).encode()
            said.setdefault("Content-Type", "application/json")
        connection = Http(self.path)
        try:
            connection.request(method, target, body=body, headers=said)
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()

    def get(self, target: str) -> Any:
        """A document that must be there."""
        answer = self("GET", target)
        assert answer.status == 200, answer
        return answer.json()


class Docker:
    """A docker client, speaking to a socket."""

    def __init__(self, program: str, socket: str, folder: str) -> None:
        self.program = program
        self.env = {
            **os.environ,
            "DOCKER_HOST": f"unix://{socket}",
            "DOCKER_CONFIG": f"{folder}/docker-config",
            "DOCKER_BUILDKIT": "0",
        }

    def __call__(self, *words: str, stdin: bytes = b"") -> Said:
        done = subprocess.run(
            [self.program, *words],
            input=stdin,
            capture_output=True,
            env=self.env,
            timeout=PATIENCE,
            check=False,
        )
        return Said(done.returncode, done.stdout.decode(), done.stderr.decode())

    def ok(self, *words: str, stdin: bytes = b"") -> str:
        """The output of a command that must succeed."""
        said = self(*words, stdin=stdin)
        assert said.code == 0, said
        return said.out

    def fails(self, *words: str, code: int = 1) -> str:
        """The complaint of one that must not."""
        said = self(*words)
        assert said.code == code, said
        return said.err


def read(path: str) -> bytes:
    """What a file holds."""
    with open(path, "rb") as file:
        return file.read()


def clients() -> list[str]:
    """docker's clients that are installed: Debian's, and a newer one where it stands first."""
    found = [path for path in (OWN, shutil.which("docker")) if path and os.access(path, os.X_OK)]
    return sorted({os.path.realpath(path) for path in found}) or ["docker"]


def client(program: str, path: str, folder: str) -> Docker:
    """That client; skips where it is missing."""
    if shutil.which(program) is None:
        lacking("needs the docker client (package docker.io)")
    return Docker(program, path, folder)


class Serving(NamedTuple):
    """A server that runs."""

    path: str
    process: "subprocess.Popen[str]"

    @property
    def api(self) -> Api:
        """It, by bare HTTP."""
        return Api(self.path)


@contextlib.contextmanager
def serving(
    lamina: Lamina,
    *words: str,
    env: dict[str, str] | None = None,
    prefix: tuple[str, ...] = (),
) -> Iterator[Serving]:
    """`lamina serve` on a store, from when clients may come; ended afterwards."""
    path = os.path.join(lamina.folder, "docker.sock")
    hosts = words or ("-H", f"unix://{path}")
    process = subprocess.Popen(
        [*prefix, *lamina.command("serve", *hosts)],
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        env={**lamina.env, **(env or {})},
    )
    try:
        assert process.stderr is not None
        said = process.stderr.readline()
        assert said.startswith("lamina: serving "), said
        yield Serving(path, process)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)
        assert process.stderr is not None
        left = process.stderr.read()
        process.stderr.close()
        assert "Traceback" not in left, left
