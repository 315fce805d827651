"""Roots to run in by each isolation, and a docker daemon of the tests' own to be held against."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from tests.conftest import lacking
from tests.integration.execution_rig import ISOLATIONS, Rig, make_busybox

Docker = Callable[..., str]
_PATIENCE = 30.0  # seconds; a bound, never a wait


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A root of busybox, which each rig has a copy of."""
    path = str(tmp_path_factory.mktemp("template"))
    make_busybox(path)
    return path


@pytest.fixture(params=ISOLATIONS)
def isolation(
    request: pytest.FixtureRequest, needs_program: Callable[[str], str], needs_mounts: None
) -> str:
    """Each isolation in turn."""
    name: str = request.param
    if name != "chroot":
        needs_program(name)
    return name


@pytest.fixture
def unsettled(template: str, tmp_path: os.PathLike[str]) -> Rig:
    """An overlay whose base may still be edited."""
    return Rig(os.path.join(tmp_path, "rig"), template, "overlay")


@pytest.fixture
def rig(unsettled: Rig) -> Rig:
    """One that is ready to be run in."""
    return unsettled.settle()


@pytest.fixture(scope="module")
def docker(docker_on: Callable[[str], Docker]) -> Docker:
    """A function that runs the docker client with a daemon of its own on vfs."""
    return docker_on("vfs")


@pytest.fixture(scope="module")
def docker_on(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[str], Docker]]:
    """A function that starts a daemon on a storage driver; ended with the module's tests."""
    with contextlib.ExitStack() as running:

        def start(driver: str) -> Docker:
            folder = str(tmp_path_factory.mktemp("dockerd"))
            return running.enter_context(_daemon(folder, driver))

        yield start


@contextlib.contextmanager
def _daemon(folder: str, driver: str) -> Iterator[Docker]:
    dockerd = shutil.which("dockerd")
    if dockerd is None or os.geteuid() != 0:
        lacking("needs dockerd (package docker.io) and uid 0")
        raise AssertionError
    # The path of a socket is short; pytest's folders are not.
    socket = f"unix:///run/lamina-test-{os.getpid()}-{driver}.sock"
    flags = ["--iptables=false", "--ip6tables=false", "--bridge=none", "--host", socket]
    flags += ["--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec", "-s", driver]
    with open(f"{folder}/log", "wb") as log:
        command = [dockerd, *flags, "--pidfile", f"{folder}/pid"]
        daemon = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    own = "/usr/bin/docker"  # the one that came with the daemon; another may stand before it
    client = [own if os.access(own, os.X_OK) else "docker", "--host", socket]
    env = {**os.environ, "DOCKER_CONFIG": folder, "DOCKER_BUILDKIT": "0"}

    def run(*words: str, check: bool = True) -> str:
        done = subprocess.run(
            [*client, *words], env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0 or not check, done.stderr
        return done.stdout

    try:
        _await_answer(daemon, run, f"{folder}/log")
        yield run
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(_PATIENCE)
        left = ["umount", f"{folder}/exec/netns/default"]
        subprocess.run(left, capture_output=True, check=False)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(socket.removeprefix("unix://"))


def _await_answer(daemon: "subprocess.Popen[bytes]", run: Docker, log: str) -> None:
    limit = time.monotonic() + _PATIENCE
    while not run("version", "--format", "{{.Server.Version}}", check=False).strip():
        if daemon.poll() is not None or time.monotonic() > limit:
            with open(log, encoding="utf-8", errors="replace") as file:
                lacking("dockerd does not start here: " + "".join(file.readlines()[-3:]))
        time.sleep(0.05)
