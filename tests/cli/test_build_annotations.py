"""`build --annotation` and `-o annotation...=`: what others read of the documents they are in."""

import json
import os
import sqlite3
import subprocess

import pytest

from lamina.testing.fake_registry import fake_registry
from tests.cli.rig import Lamina, assert_complaint, nothing_left, told

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")

BOTH = ("--platform", "linux/amd64,linux/arm64")


@pytest.fixture
def made(tmp_path):
    (tmp_path / "lamina").mkdir()
    lamina = Lamina(str(tmp_path / "lamina"), "vfs")
    lamina.write("context/a", "a")
    lamina.write("context/Dockerfile", "FROM scratch\nARG TARGETARCH\nCOPY a /$TARGETARCH\n")
    return lamina


@pytest.fixture
def skopeo(needs_program):
    """What skopeo finds where it is told to look, unchanged."""

    def raw(place):
        command = [needs_program("skopeo"), "inspect", "--raw", "--tls-verify=false", place]
        return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)

    return raw


def build(made, *words):
    return made.ok("build", *words, f"{made.folder}/context")


def layout(made, name, *words):
    """Build a layout of that name; the descriptor in its index.json, and every blob's reader."""
    path = os.path.join(made.folder, name)
    build(made, "-o", f"type=oci,tar=false,dest={path}", *words)
    with open(f"{path}/index.json") as file:
        (descriptor,) = json.load(file)["manifests"]
    return descriptor, lambda each: json.loads(read(path, each["digest"]))


def read(path, digest):
    with open(f"{path}/blobs/sha256/{digest.partition(':')[2]}", "rb") as file:
        return file.read()


def test_a_stored_image_leaves_with_its_annotations(made, skopeo):
    build(made, "-t", "app", "--annotation", "a=b=c", "--annotation", "manifest:y=z")
    with fake_registry() as registry:
        name = f"{registry.host}/app:1"
        made.ok("tag", "app", name)
        made.ok("push", name)
        pushed = skopeo(f"docker://{name}")
        made.ok("push", "--compression", "zstd", name)
        packed = skopeo(f"docker://{name}")
    assert pushed["annotations"] == packed["annotations"] == {"a": "b=c", "y": "z"}
    assert pushed["layers"][0]["mediaType"].endswith("gzip")
    assert packed["layers"][0]["mediaType"].endswith("zstd")
    made.ok("save", "--format", "oci", "-o", "saved", "app")
    made.ok("copy", "lamina:app", "oci:copied:app")
    found = [f"oci-archive:{made.folder}/saved", f"oci:{made.folder}/copied:app"]
    assert [skopeo(each) for each in found] == [pushed, pushed]
    other = Lamina(os.path.join(made.folder, "other"), "vfs")
    os.mkdir(other.folder)
    other.ok("load", "-i", os.path.join(made.folder, "saved"))
    other.ok("copy", "lamina:app", "oci:again:app")
    assert skopeo(f"oci:{other.folder}/again:app") == pushed


def test_pushed_by_the_build_that_says_them(made, skopeo):
    with fake_registry() as registry:
        name = f"{registry.host}/app"
        build(made, "-t", f"{name}:1", "--push", "--annotation", "a=b")
        build(made, "-o", f"type=registry,name={name}:2,annotation-manifest.a=b")
        assert skopeo(f"docker://{name}:1")["annotations"] == {"a": "b"}
        assert registry.manifests["app", "1"][0] == registry.manifests["app", "2"][0]


def test_the_last_build_says_what_an_image_is_annotated_with(made, skopeo):
    """The image is the same one each time, and no manifest of an earlier build is left."""
    plain = build(made, "-q", "-t", "app")
    for text in ("a=b", "c=d"):
        assert build(made, "-q", "-t", "app", "--annotation", text) == plain
    with nothing_left(made):
        build(made, "-q", "-t", "app", "--annotation", "c=d")
    made.ok("copy", "lamina:app", "oci:one:app")
    assert skopeo(f"oci:{made.folder}/one:app")["annotations"] == {"c": "d"}
    documents = [name for name in made.inventory() if "/blobs/sha256/" in name]
    assert len(documents) == 3  # config, layer, manifest
    build(made, "-q", "-t", "app")
    made.ok("copy", "lamina:app", "oci:two:app")
    assert "annotations" not in skopeo(f"oci:{made.folder}/two:app")
    made.ok("check")
    made.ok("rmi", "app")
    assert not [name for name in made.inventory() if "/blobs/sha256/" in name]


def test_what_is_so_already_is_not_written_again(made):
    made.ok("images")
    watching = sqlite3.connect(f"file:{made.root}/lamina.db?mode=ro", uri=True)

    def version():
        """Another one after each transaction that somebody else committed."""
        return watching.execute("PRAGMA data_version").fetchone()

    try:
        for words in ((), ("--annotation", "a=b")):
            build(made, "-q", "-t", "app", *words)
            before = version()
            build(made, "-q", "-t", "app", *words)
            assert version() == before
            build(made, "-q", "-t", f"other{len(words)}", *words)
            assert version() != before
    finally:
        watching.close()


def test_what_an_image_came_with_stays(made, skopeo):
    """A build that comes to an image which was loaded leaves its manifest alone."""
    build(made, "-o", "type=oci,dest=base", "--annotation", "of=base", "-t", "base")
    made.ok("load", "-i", "base")
    build(made, "-q", "-t", "same")
    assert told(made, "inspect", "same")[0]["Id"] == told(made, "inspect", "base")[0]["Id"]
    made.ok("copy", "lamina:same", "oci:out:same")
    assert skopeo(f"oci:{made.folder}/out:same")["annotations"] == {"of": "base"}


def test_inspect_and_history_tell_nothing_of_them(made):
    build(made, "-t", "plain")
    build(made, "-t", "app", "--annotation", "a=b")
    for words in (("inspect",), ("history", "--human=false")):  # not how long ago that was
        assert made.ok(*words, "app") == made.ok(*words, "plain")
    assert told(made, "inspect", "app")[0]["Config"]["Labels"] == {}


def test_one_image_in_a_layout(made):
    words = ("-t", "app", "--annotation", "manifest,manifest-descriptor:a=b")
    descriptor, blob = layout(made, "one", *words, "--annotation", "manifest[linux/amd64]:own=1")
    assert blob(descriptor)["annotations"] == {"a": "b", "own": "1"}
    assert descriptor["annotations"] == {
        "a": "b",
        "io.containerd.image.name": "docker.io/library/app:latest",
        "org.opencontainers.image.ref.name": "latest",
    }


def test_unnamed_images_stay_side_by_side_in_a_layout(made):
    path = os.path.join(made.folder, "several")
    for text in ("a=1", "a=2"):
        words = ("--annotation", f"manifest-descriptor,manifest:{text}")
        build(made, "-o", f"type=oci,tar=false,dest={path}", *words)
    with open(f"{path}/index.json") as file:
        found = [each["annotations"] for each in json.load(file)["manifests"]]
    assert found == [{"a": "1"}, {"a": "2"}]


def test_every_level_of_an_index(made):
    words = (
        *("--annotation", "manifest,index,manifest-descriptor,index-descriptor:a=b"),
        *("--annotation", "manifest[linux/arm64],manifest-descriptor[linux/arm64]:a=arm"),
    )
    descriptor, blob = layout(made, "index", *BOTH, *words)
    index = blob(descriptor)
    assert descriptor["annotations"] == index["annotations"] == {"a": "b"}
    assert [each["annotations"] for each in index["manifests"]] == [{"a": "b"}, {"a": "arm"}]
    assert [blob(each)["annotations"] for each in index["manifests"]] == [{"a": "b"}, {"a": "arm"}]
    assert layout(made, "again", *BOTH, *words)[0]["digest"] == descriptor["digest"]


def test_a_pushed_index(made, skopeo):
    with fake_registry() as registry:
        name = f"{registry.host}/app:1"
        levels = "index,manifest[linux/arm64],manifest-descriptor"
        build(made, "-t", name, "--push", *BOTH, "--annotation", f"{levels}:a=b")
        index = skopeo(f"docker://{name}")
        assert index["annotations"] == {"a": "b"}
        assert [each["annotations"] for each in index["manifests"]] == [{"a": "b"}] * 2
        place = f"docker://{registry.host}/app@"
        found = [skopeo(place + each["digest"]) for each in index["manifests"]]
        assert [each.get("annotations") for each in found] == [None, {"a": "b"}]


def test_fields_of_an_output_are_for_it_alone(made, skopeo):
    fields = 'annotation.a=1,"annotation.b=2,3",annotation-manifest[linux/amd64].Case=4'
    build(
        made, "-o", f"type=oci,dest=one,{fields}", "-o", "type=oci,dest=two", "-t", "app",
        "-o", "type=image,annotation.stored=1", "--annotation", "a=all", "-o", "out",
    )  # fmt: skip
    one = skopeo(f"oci-archive:{made.folder}/one")["annotations"]
    assert one == {"a": "all", "b": "2,3", "Case": "4"}
    assert skopeo(f"oci-archive:{made.folder}/two")["annotations"] == {"a": "all"}
    made.ok("copy", "lamina:app", "oci:three:app")
    assert skopeo(f"oci:{made.folder}/three:app")["annotations"] == {"a": "all", "stored": "1"}
    assert os.path.exists(f"{made.folder}/out/amd64")


def test_the_library_takes_them(made, skopeo):
    program = (
        "import lamina, sys\n"
        "with lamina.open(sys.argv[1], driver='vfs') as engine:\n"
        "    engine.images.build(sys.argv[2], tags=['app'], annotations=['a=b'])\n"
    )
    made.write("program.py", program)
    command = [*made.command()[:1], "program.py", made.root, f"{made.folder}/context"]
    subprocess.run(command, check=True, env=made.env, cwd=made.folder)
    made.ok("copy", "lamina:app", "oci:out:app")
    assert skopeo(f"oci:{made.folder}/out:app")["annotations"] == {"a": "b"}


def test_a_descriptor_of_the_stored_image_has_no_place(made):
    said = made("build", "--annotation", "manifest-descriptor:a=b", f"{made.folder}/context")
    assert said.code == 0
    assert "a descriptor's annotations are only in what -o type=oci writes" in said.err


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["--annotation", "layer:a=b"], ["no level 'layer'", "it is manifest, manifest-"]),
        (["--annotation", "manifest,:a=b"], ["no level ''"]),
        (["--annotation", "manifest[linux:a=b"], ["no level 'manifest[linux'"]),
        (["--annotation", "manifest[a/b/c/d]:a=b"], ["'a/b/c/d' is no platform"]),
        (["--annotation", "a"], ["'a' is not KEY=VALUE"]),
        (["--annotation", "=b"], ["'=b' is not KEY=VALUE"]),
        (["--annotation", "index:a=b"], ["is for an index, and one image has none"]),
        (["--annotation", "index[linux/amd64]:a=b"], ["an index is of all platforms"]),
        (["--annotation", "manifest[linux/arm64]:a=b"], ["for linux/arm64, which is not built"]),
        (["-o", "type=oci,dest=x,annotation-index.a=b"], ["one image has none"]),
        (["-o", "type=oci,dest=x,annotation-layer.a=b"], ["no level 'layer'"]),
        (["-o", 'type=oci,dest=x,"annotation.a=b'], ["no line of comma-separated values"]),
        (["-o", "type=oci,dest=x,annotations.a=b"], ["unknown field 'annotations.a=b'"]),
        (["-o", "type=docker,dest=x", "--annotation", "a=b"], ["a docker archive has no"]),
        (["-o", "type=docker,dest=x,annotation.a=b"], ["has no room for annotations"]),
        (["-o", "x", "--annotation", "a=b"], ["no output has room", "add -o type=oci"]),
    ],
)
def test_what_has_no_place_is_refused_before_anything_is_built(made, words, wanted):
    said = made("build", "-t", "app", *words, f"{made.folder}/context")
    assert_complaint(said, *wanted)
    assert not said.err.startswith("#")
    assert made.ok("images", "-q") == ""
    assert not os.path.exists(os.path.join(made.folder, "x"))
