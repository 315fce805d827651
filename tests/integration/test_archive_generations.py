"""Archives of every generation: docker's own legacy form, and the OCI form that `save` writes."""

import json
import shutil
import subprocess
import tarfile
import tempfile

import pytest

from tests.cli.rig import Lamina
from tests.integration.test_takeover import DOCKERFILE

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")

MORE = 'MAINTAINER "me & <you>"\nRUN busybox echo "a && b" > /d/more\n'


@pytest.fixture
def lamina(tmp_path, two_layers):
    made = Lamina(str(tmp_path))
    made.begin_as(two_layers)
    return made


def test_dockers_archives_before_manifest_json(docker, lamina, tmp_path, needs_program):
    """docker still writes the old documents beside the new ones, and reads them where it must."""
    (tmp_path / "context").mkdir()
    shutil.copy(needs_program("busybox"), tmp_path / "context" / "busybox")
    (tmp_path / "context" / "Dockerfile").write_text(DOCKERFILE + MORE)
    docker("build", "-q", "-t", "old/one:1", str(tmp_path / "context"))
    docker("tag", "old/one:1", "old/two:2")
    saved, old = str(tmp_path / "saved.tar"), str(tmp_path / "old.tar")
    docker("save", "-o", saved, "old/one:1", "old/two:2")
    with tarfile.open(saved) as archive, tarfile.open(old, "w") as stripped:
        for member in archive:
            if not member.name.endswith(".json"):
                stripped.addfile(member, archive.extractfile(member) if member.isreg() else None)
    docker("rmi", "-f", "old/one:1", "old/two:2")
    docker("load", "-i", old)
    (theirs,) = json.loads(docker("inspect", "old/one:1"))
    said = lamina.ok("load", "-i", old)
    assert sorted(said.splitlines()) == ["Loaded image: old/one:1", "Loaded image: old/two:2"]
    (ours,) = json.loads(lamina.ok("inspect", "old/two:2"))
    assert ours["RootFS"]["Layers"] == theirs["RootFS"]["Layers"]
    assert ours["Id"] == theirs["Id"]
    assert lamina.ok("run", "--rm", "old/one:1", "busybox", "cat", "/d/more") == "a && b\n"
    copied = lamina.ok("copy", "-q", f"docker-archive:{old}:old/one:1", f"docker-archive:{saved}")
    assert copied.strip() == theirs["Id"]


def test_the_oci_form_is_read_by_the_fields_tools(lamina, tmp_path, needs_program):
    skopeo, podman = needs_program("skopeo"), needs_program("podman")
    path = str(tmp_path / "saved.tar")
    lamina.ok("tag", "base", "localhost/also:2")
    lamina.ok("save", "--format", "oci", "-o", path, "base", "localhost/also:2")
    wanted = lamina.ok("inspect", "--format", "{{.Id}}", "base").strip()
    for name in ("docker.io/library/base:latest", "localhost/also:2"):
        said = subprocess.check_output(
            [skopeo, "--insecure-policy", "inspect", "--raw", f"oci-archive:{path}:{name}"]
        )
        assert json.loads(said)["config"]["digest"] == wanted
    short = tempfile.mkdtemp(prefix="pm")  # podman takes no longer run root than 50 characters
    try:
        lamina.ok("save", "--format", "oci-archive", "-o", path, "base")
        storage = ["--root", f"{short}/root", "--runroot", f"{short}/run"]
        command = [podman, *storage, "--storage-driver", "vfs"]
        subprocess.run([*command, "load", "-q", "-i", path], check=True)
        listed = subprocess.check_output([*command, "images", "--no-trunc", "--noheading"])
        assert wanted in listed.decode()
        assert "docker.io/library/base" in listed.decode()
    finally:
        shutil.rmtree(short, ignore_errors=True)
    said = lamina("save", "--format", "zip", "base")
    assert said.err == "lamina: no archive has the format 'zip'; it is docker or oci\n"
