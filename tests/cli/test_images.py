"""Images from the command line: import, list, name, save, load, remove."""

import gzip
import hashlib
import json
import os
import subprocess
import tarfile

import pytest

from lamina.testing.trees import tar_of


@pytest.fixture(autouse=True)
def on_vfs(lamina):
    """These look at documents and names; vfs needs no right to mount."""
    lamina.driver = "vfs"


def write(lamina, name, data):
    path = os.path.join(lamina.folder, name)
    with open(path, "wb") as file:
        file.write(data)
    return path


def plain(lamina, name="root.tar"):
    return write(lamina, name, tar_of("d d\nf d/a text"))


def test_an_empty_store_lists_nothing(lamina):
    assert lamina.ok("images") == "REPOSITORY   TAG   IMAGE ID   CREATED   SIZE\n"
    assert lamina.ok("images", "-q") == ""
    assert lamina.ok("ps").startswith("CONTAINER ID   IMAGE")


@pytest.mark.parametrize("name", ["none", "gzip", "bzip2", "xz", "zstd"])
def test_import_of_every_compression(lamina, name):
    path = plain(lamina)
    if name != "none":
        path += "." + name
        with open(path, "wb") as out:
            subprocess.run([name, "-c", path[: -len(name) - 1]], stdout=out, check=True)
    identity = lamina.ok("import", path, "x:1").strip()
    assert identity.startswith("sha256:")
    layers = json.loads(lamina.ok("inspect", "x:1"))[0]["RootFS"]["Layers"]
    assert layers == ["sha256:" + hashlib.sha256(tar_of("d d\nf d/a text")).hexdigest()]


def test_import_from_standard_input(lamina):
    lamina.ok("import", "-", "x", stdin=gzip.compress(tar_of("f a 1")))
    assert "x" in lamina.ok("images", "--format", "{{.Repository}}")


def test_names_have_docker_defaults(lamina):
    identity = lamina.ok("import", plain(lamina), "nginx").strip()
    lamina.ok("tag", "nginx", "docker.io/library/nginx:v2")
    lamina.ok("tag", identity[7:19], "localhost:5000/a/b")
    rows = lamina.ok("images", "--format", "{{.Repository}}:{{.Tag}}").split()
    assert sorted(rows) == ["localhost:5000/a/b:latest", "nginx:latest", "nginx:v2"]
    said = lamina("rmi", identity[7:19])
    assert said.code == 1
    assert "3 names" in said.err
    assert lamina.ok("rmi", "nginx:v2") == "Untagged: nginx:v2\n"
    assert lamina.ok("rmi", "-f", identity).count("Deleted") == 2


def shown(lamina, *words):
    return lamina.ok("images", "--format", "{{.Repository}}:{{.Tag}}", *words).split()


def test_only_the_names_asked_for_are_listed(lamina):
    lamina.ok("import", plain(lamina), "app:1")
    for name in ("app:2", "other", "localhost:5000/app"):
        lamina.ok("tag", "app:1", name)
    assert shown(lamina, "app") == ["app:1", "app:2"]
    assert shown(lamina, "app:2") == ["app:2"]
    assert shown(lamina, "ap*") == ["app:1", "app:2"]
    assert shown(lamina, "--filter", "reference=*/app") == ["localhost:5000/app:latest"]
    assert shown(lamina, "ap*", "-f", "reference=*:2") == ["app:2"]
    assert shown(lamina, "nothing") == []


def test_images_are_filtered_by_age_and_labels(lamina):
    for number in (1, 2, 3):
        labels = [f"LABEL a={number}", "LABEL b=1"]
        env = {"SOURCE_DATE_EPOCH": f"{1700000000 + number}"}
        changes = [word for label in labels for word in ("-c", label)]
        assert lamina("import", *changes, plain(lamina), f"x:{number}", env=env).code == 0
    assert shown(lamina, "-f", "before=x:2") == ["x:1"]
    assert shown(lamina, "-f", "since=x:2") == ["x:3"]
    assert shown(lamina, "-f", "since=x:1", "-f", "before=x:3") == ["x:2"]
    assert shown(lamina, "-f", "label=a=3", "-f", "label=b") == ["x:3"]
    assert "there are before, dangling" in lamina("images", "-f", "age=3").err
    assert "not 'maybe'" in lamina("images", "-f", "dangling=maybe").err


def test_an_import_may_be_for_another_platform(lamina):
    lamina.ok("import", "--platform", "linux/arm/v7", plain(lamina), "x")
    assert lamina.ok("inspect", "-f", "{{.Os}}/{{.Architecture}}", "x") == "linux/arm\n"
    path = os.path.join(lamina.folder, "x.tar")
    lamina.ok("save", "-o", path, "x")
    with tarfile.open(path) as archive:
        (config,) = json.load(archive.extractfile("manifest.json"))
        assert json.load(archive.extractfile(config["Config"]))["variant"] == "v7"
    said = lamina("import", "--platform", "a/b/c/d", plain(lamina), "y")
    assert (said.code, said.err.count("\n")) == (1, 1)
    assert "a/b/c/d" in said.err


def test_the_same_input_gives_the_same_image(lamina):
    env = {"SOURCE_DATE_EPOCH": "1700000000"}
    first = lamina("import", plain(lamina), "a", env=env)
    second = lamina("import", plain(lamina), "b", env=env)
    assert first.out == second.out
    created = lamina.ok("inspect", "-f", "{{.Created}}", "a")
    assert created == "2023-11-14T22:13:20Z\n"


def test_save_and_load_keep_everything(lamina):
    lamina.ok("import", "-c", 'CMD ["x"]', "-c", "ENV A=b", "-c", "LABEL l=m", plain(lamina), "x:1")
    lamina.ok("tag", "x:1", "y")
    before = json.loads(lamina.ok("inspect", "x:1"))[0]
    path = os.path.join(lamina.folder, "s.tar")
    lamina.ok("save", "-o", path, "x:1", "y")
    with open(path, "rb") as file:
        first = file.read()
    assert lamina("save", "x:1", "y").code == 0
    lamina.ok("rmi", "x:1", "y")
    assert lamina.ok("load", "-i", path) == "Loaded image: x:1\nLoaded image: y:latest\n"
    after = json.loads(lamina.ok("inspect", "x:1"))[0]
    assert after["Id"] == before["Id"]
    said = {key: value for key, value in after["Config"].items() if value}
    assert said == {"Cmd": ["x"], "Env": ["A=b"], "Labels": {"l": "m"}}
    lamina.ok("save", "-o", path, "x:1", "y")
    with open(path, "rb") as file:
        assert file.read() == first


def test_a_layer_leaves_bit_for_bit(lamina):
    data = tar_of("f a 1\nf a 2\nd d\nl d/l -> ../a")
    lamina.ok("import", write(lamina, "odd.tar", data), "x")
    path = os.path.join(lamina.folder, "s.tar")
    lamina.ok("save", "-o", path, "x")
    with tarfile.open(path) as archive:
        layer = next(name for name in archive.getnames() if name.endswith("layer.tar"))
        assert archive.extractfile(layer).read() == data


def test_prune_asks_first(lamina):
    lamina.ok("import", plain(lamina), "x")
    lamina.ok("import", write(lamina, "other.tar", tar_of("f b 1")), "x")
    assert lamina("image", "prune", stdin=b"n\n").out == ""
    said = lamina("system", "prune", "--volumes", stdin=b"")
    assert (said.code, said.out, said.err[-8:]) == (0, "", "? [y/N] \n"[-8:])
    assert "Total reclaimed space" in lamina.ok("image", "prune", "-f")
    assert len(lamina.ok("images", "-q").split()) == 1


def test_where_the_bytes_are_adds_up(lamina):
    lamina.ok("import", write(lamina, "a.tar", tar_of("f a " + "x" * 1000)), "x")
    document = json.loads(lamina.ok("df", "--format", "json"))
    assert document["Images"]["Size"] == 1000
    assert document["Images"]["Reclaimable"] == 1000
    tree = json.loads(lamina.ok("tree", "--format", "json"))
    assert (tree["LayersAsked"], tree["LayersStored"], tree["BytesStored"]) == (1, 1, 1000)
