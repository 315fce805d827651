"""The registry between contenders: Debian's docker-registry on loopback, on the round's disk."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator

from bench.clock import Failed
from bench.ground import Ground
from scripts.apt import find, missing, require

_PATIENCE = 20.0  # seconds until it must answer
_PACKAGES = (("docker-registry", "docker-registry"), ("skopeo", "skopeo"))


@contextlib.contextmanager
def served(ground: Ground) -> Iterator[str]:
    """A registry of our own; gives its host."""
    require(missing(_PACKAGES), "the bench")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{probe.getsockname()[1]}"
    configuration = os.path.join(ground.run, "registry.yml")
    storage = {"filesystem": {"rootdirectory": os.path.join(ground.disk, "registry")}}
    with open(configuration, "w", encoding="utf-8") as file:
        logged = {"level": "error"}
        json.dump(
            {"version": "0.1", "log": logged, "storage": storage, "http": {"addr": host}}, file
        )
    program = find("docker-registry") or "docker-registry"
    with open(os.path.join(ground.run, "registry.log"), "wb") as log:
        process = subprocess.Popen(
            [program, "serve", configuration], stdout=log, stderr=log, start_new_session=True
        )
    try:
        _await(host, process)
        yield host
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def _await(host: str, process: "subprocess.Popen[bytes]") -> None:
    name, _, port = host.partition(":")
    deadline = time.monotonic() + _PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection((name, int(port)), 1):
            return
        time.sleep(0.05)
    raise Failed("docker-registry does not answer")
