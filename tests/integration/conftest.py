"""Roots to run in and to build on, and a docker daemon of the tests' own to be held against."""

import contextlib
import io
import os
import shutil
import signal
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator

import pytest

from tests.cli.rig import Lamina
from tests.conftest import lacking
from tests.integration.execution_rig import ISOLATIONS, Rig, make_busybox

Docker = Callable[..., str]
_PATIENCE = 30.0  # seconds; a bound, never a wait
_APPLETS = ("sh", "true", "cat", "ls", "id", "touch", "mkdir", "rm", "ln", "chmod", "sleep")


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


@pytest.fixture(scope="session")
def archived_root(needs_program: Callable[[str], str]) -> bytes:
    """What `context` holds as root.tar.gz."""
    return _rootfs(needs_program("busybox"))


@pytest.fixture
def context(tmp_path: os.PathLike[str], archived_root: bytes) -> str:
    """A context that holds a root's archive; gives its path."""
    path = os.path.join(tmp_path, "context")
    os.mkdir(path)
    with open(f"{path}/root.tar.gz", "wb") as file:
        file.write(archived_root)
    return path


def _rootfs(busybox: str) -> bytes:
    """A small root: busybox with links, and the files that name users."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name in ("bin", "etc", "tmp"):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            folder.mtime = 1_600_000_000
            archive.addfile(folder)
        archive.add(busybox, "bin/busybox")
        for applet in _APPLETS:
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(link)
        for name, text in (
            ("etc/passwd", b"root:x:0:0::/root:/bin/sh\napp:x:42:43::/home/app:/bin/sh\n"),
            ("etc/group", b"root:x:0:\napps:x:43:\nextra:x:44:app\n"),
        ):
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(text), 1_600_000_000
            archive.addfile(info, io.BytesIO(text))
    return out.getvalue()


@pytest.fixture(scope="session")
def two_layers(tmp_path_factory: pytest.TempPathFactory, busybox_tar: str) -> str:
    """The root of a store with the images `bare` and, one layer more, `base`; to be copied."""
    made = Lamina(str(tmp_path_factory.mktemp("two-layers")))
    made.write("Dockerfile", "FROM bare\nRUN echo hi > /etc/motd\nENV A=b\n")
    made.ok("import", busybox_tar, "bare")
    made.ok("build", "-q", "-t", "base", made.folder)
    return made.root


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


@pytest.fixture(scope="module")
def dockerd_socket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The socket of a daemon of its own, for those who ask it without the client."""
    folder = str(tmp_path_factory.mktemp("dockerd"))
    with _daemon(folder, "vfs"):
        yield _socket("vfs")


def _socket(driver: str) -> str:
    """The path of a socket is short; pytest's folders are not."""
    return f"/run/lamina-test-{os.getpid()}-{driver}.sock"


@contextlib.contextmanager
def _daemon(folder: str, driver: str) -> Iterator[Docker]:
    dockerd = shutil.which("dockerd")
    if dockerd is None or os.geteuid() != 0:
        lacking("needs dockerd (package docker.io) and uid 0")
        raise AssertionError
    socket = f"unix://{_socket(driver)}"
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
