"""`copy` beside skopeo on every transport that both know, and read by podman, docker and umoci."""

import hashlib
import json
import os
import shutil
import subprocess
import tempfile

import pytest

from tests.integration.test_registries import host, lamina, serve  # noqa: F401 - fixtures
from tests.integration.test_takeover import DOCKERFILE

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")

CONTENT = ["docker", "oci", "oci-archive", "dir"]
ENDS = [*CONTENT, "docker-archive"]


@pytest.fixture
def skopeo(needs_program):
    program = needs_program("skopeo")

    def run(verb, *words):
        tls = ["--src-tls-verify=false", "--dest-tls-verify=false"] if verb == "copy" else []
        if verb == "inspect":
            tls = ["--tls-verify=false"]
        done = subprocess.run(
            [program, "--insecure-policy", verb, *tls, *words], capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    return run


@pytest.fixture
def copy(lamina):  # noqa: F811
    """`lamina copy -q`; gives the digest."""
    return lambda *words: lamina.ok("copy", "-q", *words).strip()


@pytest.fixture
def end(host, tmp_path):  # noqa: F811
    """How an end is written, in both programs."""

    def make(kind, name):
        spelt = {
            "docker": f"docker://{host}/{tmp_path.name.lower()}/{name}:1",
            "oci": f"oci:{tmp_path}/{name}.layout:{name}",
            "oci-archive": f"oci-archive:{tmp_path}/{name}.oci.tar:{name}",
            "docker-archive": f"docker-archive:{tmp_path}/{name}.tar:localhost/{name}:1",
            "dir": f"dir:{tmp_path}/{name}.dir",
        }
        return spelt[kind]

    return make


def base_id(store):
    return store.ok("inspect", "--format", "{{.Id}}", "base").strip()


@pytest.mark.parametrize("kind", ENDS)
def test_skopeo_reads_what_was_copied(lamina, copy, end, skopeo, kind):  # noqa: F811
    digest = copy("lamina:base", end("docker", "given"))
    copied = copy(end("docker", "given"), end(kind, "x"))
    config = skopeo("inspect", "--config", "--raw", end(kind, "x"))
    assert config == skopeo("inspect", "--config", "--raw", end("docker", "given"))
    if kind == "docker-archive":
        assert copied == base_id(lamina)
        skopeo("copy", end(kind, "x"), end("dir", "inflated"))  # it verifies the layers
    else:
        assert copied == digest
        assert json.loads(skopeo("inspect", end(kind, "x")))["Digest"] == digest
        skopeo("copy", end(kind, "x"), end("docker", "back"))
        assert json.loads(skopeo("inspect", end("docker", "back")))["Digest"] == digest


@pytest.mark.parametrize("kind", ENDS)
def test_what_skopeo_wrote_is_copied(lamina, copy, end, skopeo, kind):  # noqa: F811
    digest = copy("lamina:base", end("docker", "given"))
    skopeo("copy", end("docker", "given"), end(kind, "x"))
    for other in ENDS:
        copied = copy(end(kind, "x"), end(other, f"from-{kind}"))
        if other == "docker-archive":
            assert copied == base_id(lamina)
        elif kind != "docker-archive":
            assert copied == digest
        found = skopeo("inspect", "--config", "--raw", end(other, f"from-{kind}"))
        assert found == skopeo("inspect", "--config", "--raw", end("docker", "given"))
    lamina.ok("copy", end(kind, "x"), "lamina:back:1")
    assert lamina.ok("inspect", "--format", "{{.Id}}", "back:1").strip() == base_id(lamina)
    assert lamina.ok("run", "--rm", "back:1", "cat", "/etc/motd") == "hi\n"


@pytest.mark.parametrize("kind", ["oci", "oci-archive", "dir"])
def test_dockers_manifests_beside_skopeo(copy, end, skopeo, kind):
    """A docker manifest goes through every end unchanged, which skopeo can say of `dir:` alone."""
    copy("lamina:base", end("docker", "given"))
    skopeo("copy", "--format", "v2s2", end("docker", "given"), end("docker", "v2"))
    raw = skopeo("inspect", "--raw", end("docker", "v2"))
    copy(end("docker", "v2"), end(kind, "x"))
    copy(end(kind, "x"), end("docker", "back"))
    assert skopeo("inspect", "--raw", end("docker", "back")) == raw


@pytest.fixture
def index(lamina, copy, end, skopeo, tmp_path):  # noqa: F811
    """An index of two images in the registry, which skopeo has put there; its digest."""
    lamina.write("Dockerfile", "FROM base\nRUN echo other > /etc/motd\n")
    lamina.ok("build", "-q", "-t", "other", lamina.folder)
    folder, found = f"{tmp_path}/many", []
    for name, architecture in (("base", "amd64"), ("other", "arm64")):
        copy(f"lamina:{name}", f"oci:{folder}:{name}")
        with open(f"{folder}/index.json") as file:
            described = json.load(file)["manifests"][-1]
        del described["annotations"]
        found.append({**described, "platform": {"os": "linux", "architecture": architecture}})
    kind = "application/vnd.oci.image.index.v1+json"
    raw = json.dumps({"schemaVersion": 2, "mediaType": kind, "manifests": found}).encode()
    digest = hashlib.sha256(raw).hexdigest()
    with open(f"{folder}/blobs/sha256/{digest}", "wb") as file:
        file.write(raw)
    top = {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(raw)}
    top["annotations"] = {"org.opencontainers.image.ref.name": "all"}
    with open(f"{folder}/index.json", "w") as file:
        json.dump({"schemaVersion": 2, "manifests": [top]}, file)
    skopeo("copy", "--all", f"oci:{folder}:all", end("docker", "all"))
    return f"sha256:{digest}"


@pytest.mark.parametrize("kind", CONTENT)
def test_all_of_an_index_in_both_directions(index, copy, end, skopeo, kind):
    assert copy("--all", end("docker", "all"), end(kind, "x")) == index
    skopeo("copy", "--all", end(kind, "x"), end("docker", "theirs"))
    assert json.loads(skopeo("inspect", "--raw", end("docker", "theirs")))["manifests"]
    skopeo("copy", "--all", end("docker", "all"), end(kind, "y"))
    assert copy("-a", end(kind, "y"), end("docker", "ours")) == index


def test_umoci_reads_a_layout(copy, end, needs_program, tmp_path):
    umoci = needs_program("umoci")
    copy("lamina:base", end("oci", "x"))
    subprocess.run(
        [umoci, "unpack", "--image", f"{tmp_path}/x.layout:x", f"{tmp_path}/bundle"], check=True
    )
    with open(f"{tmp_path}/bundle/rootfs/etc/motd") as file:
        assert file.read() == "hi\n"
    subprocess.run([umoci, "gc", "--layout", f"{tmp_path}/x.layout"], check=True)
    copy(end("oci", "x"), end("docker", "after"))


@pytest.mark.parametrize("kind", ["docker-archive", "oci-archive"])
def test_podman_loads_an_archive(lamina, copy, end, needs_program, kind):  # noqa: F811
    program = needs_program("podman")
    copy("lamina:base", end(kind, "x"))
    path = end(kind, "x").split(":")[1]
    short = tempfile.mkdtemp(prefix="pm")  # podman takes no longer run root than 50 characters
    storage = ["--root", f"{short}/root", "--runroot", f"{short}/run", "--storage-driver", "vfs"]
    try:
        subprocess.run([program, *storage, "load", "-q", "-i", path], check=True)
        listed = [program, *storage, "images", "-q", "--no-trunc"]
        assert subprocess.check_output(listed, text=True).strip() == base_id(lamina)
    finally:
        shutil.rmtree(short, ignore_errors=True)


def test_docker_loads_an_archive(lamina, copy, end, docker):  # noqa: F811
    copy("lamina:base", end("docker", "given"))
    copy(end("docker", "given"), end("docker-archive", "x"))
    said = docker("load", "-i", end("docker-archive", "x").split(":")[1])
    assert "localhost/x:1" in said
    assert docker("inspect", "-f", "{{.Id}}", "localhost/x:1").strip() == base_id(lamina)


def test_dockers_data_root_is_a_source(docker, copy, end, skopeo, tmp_path, needs_program):
    (tmp_path / "context").mkdir()
    shutil.copy(needs_program("busybox"), tmp_path / "context" / "busybox")
    (tmp_path / "context" / "Dockerfile").write_text(DOCKERFILE)
    docker("build", "-q", "-t", "here:1", str(tmp_path / "context"))
    wanted = docker("inspect", "-f", "{{.Id}}", "here:1").strip()
    root = docker("info", "--format", "{{.DockerRootDir}}").strip()
    first = copy(f"docker:{root}:here:1", end("docker", "x"))
    assert copy(f"docker:{root}:here:1", end("oci", "x")) == first  # made alike each time
    assert json.loads(skopeo("inspect", "--raw", end("docker", "x")))["config"]["digest"] == wanted
    assert copy(f"docker:{root}:here:1", end("docker-archive", "x")) == wanted
    docker("rmi", "-f", "here:1")
    docker("load", "-i", end("docker-archive", "x").split(":")[1])
    assert docker("inspect", "-f", "{{.Id}}", "localhost/x:1").strip() == wanted


def test_containers_storage_is_a_source(lamina, copy, end, skopeo):  # noqa: F811
    short = tempfile.mkdtemp(prefix="cs")
    try:
        copy("lamina:base", end("oci", "x"))
        there = f"containers-storage:[vfs@{short}/root+{short}/run]localhost/here:1"
        skopeo("copy", end("oci", "x"), there)
        for other in CONTENT:
            copy(f"containers-storage:{short}/root:here:1", end(other, "out"))
            found = skopeo("inspect", "--config", "--raw", end(other, "out"))
            assert found == skopeo("inspect", "--config", "--raw", end("oci", "x"))
    finally:
        shutil.rmtree(short, ignore_errors=True)


# --- killed -------------------------------------------------------------------------------

POINTS = ("file-written", "blob-copied", "copy-complete", "copy-published")
# What is written as another is: an archive of a layout, a directory of blobs.
ALIKE = [pytest.param(kind, marks=pytest.mark.matrix) for kind in ("oci-archive", "dir")]


@pytest.mark.parametrize("kind", ["docker", "oci", "docker-archive", *ALIKE])
def test_killed_at_every_point(lamina, copy, end, skopeo, tmp_path, kind):  # noqa: F811
    """What is seen is the old image or the new one, whole; the next copy does the rest."""
    lamina.write("Dockerfile", "FROM base\nRUN echo other > /etc/motd\n")
    lamina.ok("build", "-q", "-t", "other", lamina.folder)
    for name in ("base", "other"):
        copy(f"lamina:{name}", end("docker", name))
    configs = [skopeo("inspect", "--config", "--raw", end("docker", name))
               for name in ("base", "other")]  # fmt: skip
    target = end(kind, "x")
    copy(end("docker", "base"), target)
    killed = 0
    for point in POINTS:
        for count in (1, 2):
            said = lamina(
                "copy",
                end("docker", "other"),
                target,
                env={"LAMINA_TEST_CRASH": f"{point}:{count}"},
            )
            assert said.code in (0, -9), said
            killed += said.code == -9
            assert skopeo("inspect", "--config", "--raw", target) in configs
            if kind != "docker":
                skopeo("copy", target, f"dir:{tmp_path}/checked")  # every byte of it
    assert killed
    copy(end("docker", "other"), target)
    assert skopeo("inspect", "--config", "--raw", target) == configs[1]
    assert not [
        name for _, _, files in os.walk(tmp_path) for name in files if name.endswith(".tmp")
    ]
    assert lamina.ok("check", "--full") == "clean\n"


def test_killed_where_nothing_was(lamina, copy, end, tmp_path):  # noqa: F811
    """No archive appears, and a directory holds whole blobs (and its mark), which are not sent again."""
    copy("lamina:base", end("docker", "given"))
    for kind in ("oci", "oci-archive", "docker-archive", "dir"):
        point = "file-written" if kind == "docker-archive" else "copy-complete"
        said = lamina(
            "copy", end("docker", "given"), end(kind, "x"), env={"LAMINA_TEST_CRASH": point}
        )
        assert said.code == -9
    left = {
        os.path.relpath(os.path.join(base, name), tmp_path)
        for top in ("x.layout", "x.dir")
        for base, _, files in os.walk(tmp_path / top)
        for name in files
    }
    assert left
    assert all(len(os.path.basename(path)) == 64 for path in left - {"x.dir/version"})
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".tar")]
    said = lamina.ok("copy", end("docker", "given"), end("oci", "x"))
    assert said.count("Already exists") == 3


def test_said_in_words(lamina, end, tmp_path):  # noqa: F811
    said = lamina.ok("copy", "lamina:base", end("dir", "x"))
    assert "Digest: sha256:" in said
    assert said.endswith(f"Status: Copied lamina:base to {end('dir', 'x')}\n")
    said = lamina.ok("copy", "lamina:base", end("docker-archive", "x"))
    assert f"Image ID: {base_id(lamina)}" in said
    made = lamina.ok("copy", end("docker-archive", "x"), end("oci", "x"))
    assert "(of a manifest made here)" in made
    for words, reason in [
        (("copy", "base", "oci:x"), "names no transport"),
        (("copy", "lamina:nope", "oci:x"), "no such image: nope"),
        (("copy", f"oci:{tmp_path}/nope", "lamina:x"), "No such file or directory"),
        (("copy", "lamina:base", "oci:/proc/nope/x"), "No such file or directory"),
        (("copy", "lamina:base", f"docker-archive:{tmp_path}/no/x"), "No such file or directory"),
        (("copy", "docker://127.0.0.1:1/x", "oci:x"), "cannot be reached"),
        (("copy", "lamina:base"), "takes exactly 2 arguments"),
    ]:
        failed = lamina(*words)
        assert failed.code == 1
        assert reason in failed.err
        assert failed.err.count("\n") == 1
