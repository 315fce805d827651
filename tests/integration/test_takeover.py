"""`migrate --from` the stores that a real dockerd and a real podman wrote."""

import json
import os
import shutil
import subprocess
import tempfile

import pytest

from tests.cli.rig import Lamina

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")

# Layers that add, change, delete, link and replace.
DOCKERFILE = """\
FROM scratch
COPY busybox /bin/busybox
ENV PATH=/bin
SHELL ["/bin/busybox", "sh", "-c"]
RUN busybox mkdir -p /d/e; echo one > /d/a; busybox ln /d/a /d/b
RUN busybox rm -r /d/e; echo two > /d/a; busybox ln -s a /d/s
RUN busybox rm -r /d; busybox mkdir /d; echo three > /d/c
LABEL from=there
"""


@pytest.fixture
def context(tmp_path, needs_program):
    folder = tmp_path / "context"
    folder.mkdir()
    shutil.copy(needs_program("busybox"), folder / "busybox")
    (folder / "Dockerfile").write_text(DOCKERFILE)
    return str(folder)


@pytest.fixture
def lamina(tmp_path):
    return Lamina(str(tmp_path), "overlay2")


def taken(lamina, source, names, wanted):
    """What came over, held against what the engine says of it."""
    listed = lamina.ok("images", "--from", source, "--no-trunc", "--format", "{{.ID}}").split()
    assert wanted[0] in listed
    told = json.loads(lamina.ok("df", "--from", source, "--format", "json"))
    assert told["LayersAsked"] >= len(wanted[1])
    assert told["BytesStored"] > 0
    assert lamina.ok("migrate", "--from", source) == f"Took over {', '.join(names)}\n"
    (found,) = json.loads(lamina.ok("inspect", names[0]))
    assert (found["Id"], found["RootFS"]["Layers"]) == wanted
    assert found["Config"]["Labels"]["from"] == "there"
    said = lamina.ok("run", "--rm", "--network", "none", names[0], "busybox", "find", "/d")
    assert said.split() == ["/d", "/d/c"]
    assert "here already" in lamina.ok("migrate", "--from", source, "--dry-run")
    assert lamina.ok("check", "--full") == "clean\n"


@pytest.mark.parametrize("kind", ["overlay2", "vfs"])
def test_dockers_images_come_over(docker_on, kind, context, lamina):
    docker = docker_on(kind)
    docker("build", "-q", "-t", "here:1", "-t", "also:latest", context)
    (theirs,) = json.loads(docker("inspect", "here:1"))
    data_root = docker("info", "--format", "{{.DockerRootDir}}").strip()
    wanted = theirs["Id"], theirs["RootFS"]["Layers"]
    taken(lamina, f"docker:{data_root}", ["also:latest", "here:1"], wanted)


def test_podmans_images_come_over(context, lamina, tmp_path, needs_program):
    program = needs_program("podman")
    conf = tmp_path / "containers.conf"
    conf.write_text(
        '[containers]\ndefault_ulimits=["nofile=1024:1024","nproc=1000:1000"]\nnetns="host"\n'
        '[engine]\nruntime="runc"\ncgroup_manager="cgroupfs"\nevents_logger="file"\n'
    )
    short = tempfile.mkdtemp(prefix="pm")  # podman takes no longer run root than 50 characters
    storage = ["--root", f"{short}/root", "--runroot", f"{short}/run"]

    def podman(*words):
        command = [program, *storage, "--storage-driver", "overlay", *words]
        env = {**os.environ, "CONTAINERS_CONF": str(conf)}
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    try:
        flags = ["--isolation", "chroot", "--network", "host", "--format", "docker"]
        podman("build", "-q", *flags, "-t", "here:1", context)
        (theirs,) = json.loads(podman("inspect", "here:1"))
        wanted = f"sha256:{theirs['Id']}", theirs["RootFS"]["Layers"]
        name = f"containers-storage:{short}/root:localhost/here:1"
        there = json.loads(lamina.ok("waste", "--json", name))
        taken(lamina, f"containers-storage:{short}/root", ["localhost/here:1"], wanted)
        here = json.loads(lamina.ok("waste", "--json", "localhost/here:1"))
        assert there["Wasted"] > 0
        assert {**there, "Image": ""} == {**here, "Image": ""}
    finally:
        podman("rmi", "-af")
        shutil.rmtree(short, ignore_errors=True)
