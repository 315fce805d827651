"""Looking into images that are not in the store: the same figures, and nothing is left."""

import gzip
import io
import json
import os
import signal
import subprocess
import tarfile

import pytest

from lamina.testing.sample_images import as_tar, classic, sample
from tests.cli.rig import assert_complaint, nothing_left
from tests.integration.test_registries import (  # noqa: F401 - fixtures
    beginning_as,
    host,
    lamina,
    serve,
)
from tests.integration.test_takeover import DOCKERFILE

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")
ENDS = ["docker", "oci", "oci-archive", "dir", "docker-archive"]
MISTAKE = """FROM base
COPY big /tmp/big
COPY status /status
RUN cp /tmp/big /root/kept && ln /root/kept /root/also && rm /tmp/big
RUN mkdir -p /var/lib/dpkg && cp /status /var/lib/dpkg/status && rm -r /root/kept
"""
MORE = "FROM app\nRUN ln -s ../root/also /bin/also && echo >> /etc/passwd\n"
STATUS = """Package: hello
Status: install ok installed
Architecture: amd64
Version: 1.0

"""


@pytest.fixture
def end(host, tmp_path):  # noqa: F811
    """How each kind of end is written."""
    return {
        "docker": f"docker://{host}/{tmp_path.name.lower()}/app:1",
        "oci": f"oci:{tmp_path}/app.layout:app",
        "oci-archive": f"oci-archive:{tmp_path}/app.oci.tar",
        "docker-archive": f"docker-archive:{tmp_path}/app.tar",
        "dir": f"dir:{tmp_path}/app.dir",
    }


@pytest.fixture(scope="module")
def with_app(tmp_path_factory, two_layers):
    """A store with `base` and `app`, which wastes bytes and has a package, and `more` on it."""
    made = beginning_as(two_layers, tmp_path_factory.mktemp("with-app"))
    made.write("big", "b" * 50_000)
    made.write("status", STATUS)
    made.write("app.Dockerfile", MISTAKE)
    made.write("more.Dockerfile", MORE)
    for name in ("app", "more"):
        path = f"{made.folder}/{name}.Dockerfile"
        made.ok("build", "-q", "-t", name, "-f", path, made.folder)
    return made


@pytest.fixture
def built(with_app, tmp_path):
    """The same, of its own."""
    return beginning_as(with_app.root, tmp_path)


def told(store, *words):
    """What `waste` says, without what only the store knows: which layers others have."""
    found = json.loads(store.ok("waste", "--json", "--all", *words))
    for key in ("Image", "WastedUnshared"):
        found.pop(key)
    for layer in found["Layers"]:
        layer.pop("Shared")
    return found


@pytest.mark.parametrize("kind", ENDS)
def test_the_figures_are_those_of_the_store_and_nothing_is_left(built, end, kind):
    wanted = told(built, "app")
    assert wanted["Wasted"] == 50_000
    built.ok("copy", "-q", "lamina:app", end[kind])
    with nothing_left(built):
        assert told(built, end[kind]) == wanted
        assert built.ok("find", end[kind], "/root/*") == built.ok("find", "app", "/root/*")
        same = json.loads(built.ok("compare", "--json", "app", end[kind]))
        assert same["Same"]
        assert same["Layers"]["Common"] == len(wanted["Layers"])
        fewer = json.loads(built.ok("compare", "--json", "base", end[kind]))
        assert [each["Name"] for each in fewer["Packages"]] == ["hello"]


ROW = "{{.Mode}} {{.Uid}} {{.Gid}} {{.SizeOrDevice}} {{.Modified}} {{.Shown}}"
LISTED = ("", ":/", ":/etc", ":/root", ":/bin", ":/root/also", ":/bin/also")
PATHS = ("/etc/passwd", "/root/also", "/bin/also", "/var/lib/dpkg/status")


@pytest.fixture(scope="module")
def shown(with_app):
    """What the store itself shows of directories and files."""
    listed = {path: with_app.ok("ls", "--format", ROW, f"more{path}") for path in LISTED}
    sizes = [with_app.ok("du", "-b", *words) for words in (("-d", "2", "more"), ("more:/root",))]
    return listed, sizes, with_app.ok("cat", *(f"more:{path}" for path in PATHS))


@pytest.mark.parametrize("kind", ENDS)
def test_directories_and_files_are_those_of_the_store(built, shown, end, kind):
    built.ok("copy", "-q", "lamina:more", end[kind])
    where = end[kind]
    listed, sizes, read = shown
    with nothing_left(built):
        for path, wanted in listed.items():
            assert built.ok("ls", "--format", ROW, f"{where}{path}") == wanted
        for path in ("/", "/bin/also"):
            assert built.ok("ls", "--format", ROW, where, path) == listed[f":{path}"]
        assert built.ok("du", "-b", "-d", "2", where) == sizes[0]
        assert built.ok("du", "-b", f"{where}:/root") == sizes[1]
        assert built.ok("cat", *(f"{where}:{path}" for path in PATHS)) == read
        assert built.ok("cat", where, *PATHS) == read
        assert_complaint(built("cat", f"{where}:/root/kept"), "no such path in the image")
        assert_complaint(built("cat", f"{where}:/root"), "is a directory")
        assert_complaint(built("ls", f"{where}:/none"), "no such path in the image")


def test_only_the_layers_above_a_file_are_read_and_nothing_wrong_is_given_out(built, tmp_path):
    built.ok("copy", "-q", "lamina:app", f"oci:{tmp_path}/layout:app")
    with open(f"{tmp_path}/layout/index.json", encoding="utf-8") as file:
        digest = json.load(file)["manifests"][0]["digest"].partition(":")[2]
    with open(f"{tmp_path}/layout/blobs/sha256/{digest}", encoding="utf-8") as file:
        blobs = [each["digest"].partition(":")[2] for each in json.load(file)["layers"]]
    with open(f"{tmp_path}/layout/blobs/sha256/{blobs[0]}", "r+b") as file:
        file.seek(1000)
        file.write(b"something else")
    where = f"oci:{tmp_path}/layout:app"
    assert built.ok("cat", f"{where}:/root/also") == "b" * 50_000
    said = built("cat", f"{where}:/root/also", f"{where}:/etc/passwd")
    assert said.out == "b" * 50_000
    assert_complaint(said, "layout")


def test_a_path_is_told_from_what_names_the_image(built, tmp_path):
    built.ok("save", "-o", f"{tmp_path}/a.tar", "app")
    built.ok("copy", "-q", "lamina:app", f"oci:{tmp_path}/dir:latest")
    for where in (
        f"docker-archive:{tmp_path}/a.tar",
        f"docker-archive:{tmp_path}/a.tar:app:latest",
    ):
        assert built.ok("cat", f"{where}:/etc/passwd") == built.ok("cat", "app:/etc/passwd")
    assert built.ok("cat", f"oci:{tmp_path}/dir:/etc/passwd") == built.ok("cat", "app:/etc/passwd")
    built.ok("tag", "app", "oci:latest")
    assert built.ok("cat", "oci:/etc/passwd") == built.ok("cat", "lamina:oci:/etc/passwd")
    assert_complaint(built("cat", "docker://none.invalid/x:1"), "names no file")
    assert_complaint(built("cat", "/etc/passwd"), "path in no image")
    assert_complaint(built("ls", "app:/etc", "/bin"), "one too many")
    assert_complaint(built("cat", "app"), "names no file")


def test_a_docker_engines_own_store_is_read(docker_on, lamina, tmp_path, needs_program):  # noqa: F811
    docker = docker_on("overlay2")
    lamina.write("context/Dockerfile", DOCKERFILE)
    with open(needs_program("busybox"), "rb") as file:
        os.chmod(lamina.write("context/busybox", file.read()), 0o755)
    docker("build", "-q", "-t", "here:1", f"{lamina.folder}/context")
    data_root = docker("info", "--format", "{{.DockerRootDir}}").strip()
    found = told(lamina, f"docker:{data_root}:here:1")
    lamina.ok("migrate", "--from", f"docker:{data_root}", "here:1")
    assert found == told(lamina, "here:1")
    assert found["Wasted"] > 0
    for path in ("/", "/bin", "/d"):
        seen = lamina.ok("ls", "-l", f"docker:{data_root}:here:1:{path}")
        assert seen == lamina.ok("ls", "-l", f"here:1:{path}")
    assert lamina.ok("cat", f"docker:{data_root}:here:1:/d/c") == "three\n"
    assert_complaint(lamina("cat", f"docker:{data_root}:here:1:/d/a"), "no such path")


def test_an_image_of_the_store_comes_first_and_docker_dind_is_a_name(built):
    assert_complaint(built("waste", "docker:dind"), "no such image: docker:dind")
    built.ok("tag", "app", "docker:dind")
    assert told(built, "docker:dind") == told(built, "app")
    assert_complaint(built("waste", "oci:"), "names no file or directory")


def hostile(members):
    """A docker archive of one layer."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        for name, kind, link in members:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, link
            tar.addfile(member)
    return as_tar(classic(sample(layer.getvalue())))


@pytest.mark.parametrize(
    ("members", "word"),
    [
        ([("../x", tarfile.REGTYPE, "")], "climbs above the root"),
        ([("a", tarfile.LNKTYPE, "none")], "do not fit together"),
        ([("a", tarfile.REGTYPE, ""), ("a/b", tarfile.REGTYPE, "")], "do not fit together"),
        (
            [
                ("a", tarfile.SYMTYPE, "b"),
                ("b", tarfile.SYMTYPE, "a"),
                ("a/c", tarfile.DIRTYPE, ""),
            ],
            "links",
        ),
        ([("a\x00", b"Z", "")], "unknown"),
    ],
)
def test_what_is_no_layer_is_refused_by_name(lamina, members, word):  # noqa: F811
    path = lamina.write("bad.tar", hostile(members))
    with nothing_left(lamina):
        assert_complaint(lamina("waste", f"docker-archive:{path}"), "bad.tar", word)


def test_a_layer_that_is_not_what_the_config_says_is_refused(built, tmp_path):
    path = f"{tmp_path}/app.tar"
    built.ok("save", "-o", path, "app")
    with open(path, "rb") as file:
        content = file.read()
    with open(path, "wb") as file:
        file.write(content.replace(b"b" * 1000, b"c" * 1000))
    for words in (
        ("waste", f"docker-archive:{path}"),
        ("cat", f"docker-archive:{path}:/root/also"),
    ):
        said = built(*words)
        assert_complaint(said, path, "as was promised")
        assert said.out == ""


def test_a_kill_in_the_middle_leaves_nothing(built):
    built.ok("save", "-o", f"{built.folder}/app.tar", "app")
    with open(f"{built.folder}/app.tar", "rb") as file:
        archive = gzip.compress(file.read(), 1)
    pipe = f"{built.folder}/pipe"
    os.mkfifo(pipe)
    before = built.inventory()
    with open(f"{built.folder}/said", "wb") as said:
        process = subprocess.Popen(
            built.command("waste", f"docker-archive:{pipe}"), env=built.env, stderr=said
        )
    with open(pipe, "wb") as out:
        out.write(archive[: len(archive) // 2])  # most of it is read when this returns
        out.flush()
        process.send_signal(signal.SIGKILL)
        process.wait()
    leases = [path for path in built.inventory() if path not in before]
    assert all("/locks/leases/" in path for path in leases)
    assert built.ok("check", "--full") == "clean\n"
    built.ok("images")  # the next command puts away what says that one was at work
    assert built.inventory() == before
