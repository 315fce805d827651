"""Who is measured: Lamina, docker and podman, each a command line with its own storage.

All three spell import, build, run, save and load alike; what differs is the prefix, the
environment and how a contender comes to life. GNU tar has no storage: the scenario calls it.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from bench.clock import Failed, output_of
from bench.ground import Ground
from scripts.apt import find, missing, require

CHECKOUT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PYTHON = os.path.join(CHECKOUT, ".venv", "bin", "python")
LAMINA = os.path.join(CHECKOUT, ".venv", "bin", "lamina")
_PACKAGES = (
    ("dockerd", "docker.io"),
    ("podman", "podman"),
    ("runc", "runc"),
    ("mkfs.ext4", "e2fsprogs"),
)

# Rlimits that a container may have within this machine's own; no network but the host's.
_PODMAN_CONF = """\
[containers]
default_ulimits=["nofile=1024:1024","nproc=1000:1000"]
netns="host"
[engine]
runtime="runc"
cgroup_manager="cgroupfs"
events_logger="file"
"""


class Contender(NamedTuple):
    """`prefix` stands before the verb; `env` is the whole environment of its commands."""

    name: str
    version: str
    prefix: tuple[str, ...]
    env: Mapping[str, str]

    def command(self, *arguments: str) -> list[str]:
        """The argument list of one of its commands."""
        return [*self.prefix, *arguments]


@contextlib.contextmanager
def assembled(ground: Ground) -> Iterator[dict[str, Contender]]:
    """All contenders with empty storage on `ground`, alive; stopped afterwards."""
    require(missing(_PACKAGES), "the bench")
    with docker(ground) as daemon:
        yield {one.name: one for one in (_lamina(ground), daemon, _podman(ground))}


def with_env(contender: Contender, name: str, **env: str) -> Contender:
    """The same contender under another name, with more environment."""
    return contender._replace(name=name, env={**contender.env, **env})


def _lamina(ground: Ground) -> Contender:
    env = {
        **_environment(),
        "LAMINA_ROOT": os.path.join(ground.disk, "lamina"),
        "LAMINA_RUN_ROOT": os.path.join(ground.run, "lamina"),
    }
    return Contender("lamina", output_of([LAMINA, "--version"]).split()[-1], (LAMINA,), env)


def _podman(ground: Ground) -> Contender:
    configuration = os.path.join(ground.run, "containers.conf")
    with open(configuration, "w", encoding="utf-8") as file:
        file.write(_PODMAN_CONF)
    podman = find("podman") or "podman"
    storage = ("--root", os.path.join(ground.disk, "podman"))
    runtime = ("--runroot", os.path.join(ground.run, "podman"))
    version = output_of([podman, "--version"]).split()[-1]
    env = {**_environment(), "CONTAINERS_CONF": configuration}
    return Contender("podman", version, (podman, *storage, *runtime), env)


@contextlib.contextmanager
def docker(ground: Ground) -> Iterator[Contender]:
    """A daemon of our own beside any other, without a bridge or rules of its own."""
    run = os.path.join(ground.run, "docker")
    os.mkdir(run)
    socket = f"unix://{run}/s"
    flags = ["--iptables=false", "--ip6tables=false", "--bridge=none", "--host", socket]
    folders = ["--data-root", os.path.join(ground.disk, "docker"), "--exec-root", f"{run}/exec"]
    env = {**_environment(), "DOCKER_CONFIG": run, "DOCKER_BUILDKIT": "0"}
    with open(f"{run}/log", "wb") as log:
        daemon = subprocess.Popen(
            [find("dockerd") or "dockerd", *flags, *folders, "--pidfile", f"{run}/pid"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=env,
            start_new_session=True,  # a Ctrl-C reaches us; we stop it in order
        )
    try:
        prefix = (_docker_client(), "--host", socket)
        version = _answer(daemon, [*prefix, "version", "--format", "{{.Server.Version}}"], run)
        yield Contender("docker", version, prefix, env)
    finally:
        daemon.send_signal(signal.SIGTERM)
        try:
            daemon.wait(30)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()


def _docker_client() -> str:
    """The client that belongs to the distribution's daemon; another may stand before it."""
    own = "/usr/bin/docker"
    return own if os.access(own, os.X_OK) else find("docker") or "docker"


def _answer(daemon: "subprocess.Popen[bytes]", question: list[str], run: str) -> str:
    """The daemon's version, once it answers (30 s at most)."""
    deadline = time.monotonic() + 30
    while daemon.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(Failed):
            return output_of(question)
        time.sleep(0.1)
    with open(f"{run}/log", encoding="utf-8", errors="replace") as log:
        raise Failed("dockerd does not answer: " + "".join(log.readlines()[-3:]))


def _environment() -> dict[str, str]:
    """The caller's environment without what would steer a contender elsewhere."""
    steering = ("LAMINA_", "DOCKER_", "CONTAINERS_", "STORAGE_", "BUILDAH_", "PYTHON")
    return {name: value for name, value in os.environ.items() if not name.startswith(steering)}
