"""`build -o`, `--squash`, `--metadata-file`: what others make of what is written."""

import hashlib
import json
import os
import re
import subprocess
import tarfile

import pytest

from lamina.testing.fake_registry import fake_registry
from tests.cli import layouts
from tests.cli.rig import Lamina, assert_complaint

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")

TEXT = "FROM scratch\nCOPY --chown=5:6 dir /d\nCOPY a /a\nLABEL x=y\nCOPY b /d/b\n"


@pytest.fixture
def made(tmp_path):
    (tmp_path / "lamina").mkdir()
    return Lamina(str(tmp_path / "lamina"), "overlay2")


@pytest.fixture
def context(tmp_path):
    folder = tmp_path / "context"
    (folder / "dir").mkdir(parents=True)
    for name in ("a", "b", "dir/f"):
        (folder / name).write_text(name)
    (folder / "dir" / "l").symlink_to("/etc/passwd")
    (folder / "Dockerfile").write_text(TEXT)
    return str(folder)


def test_each_step_says_why(made, context):
    first = made("build", "--explain", context).err
    assert re.search(r"^#1 DONE [0-9.]+s: the target$", first, re.MULTILINE)
    assert first.count(": this step was not built here before") == 3
    assert made("build", "--explain", context).err.count("CACHED: nothing it reads changed") == 3
    with open(f"{context}/b", "w") as file:
        file.write("other")
    last = made("build", "--explain", context).err.splitlines()
    assert [line.partition(": ")[2] for line in last if line.startswith("#5 DONE")] == ["b changed"]
    assert ": " not in "".join(
        line for line in made("build", context).err.splitlines() if "CACHED" in line
    )


def images(made):
    return made.ok("images", "-a", "-q").split()


def test_load_keeps_the_image_beside_the_output(made, context, tmp_path):
    written = ["-o", str(tmp_path / "out"), "--provenance=false", "--sbom=false"]
    made.ok("build", *written, context)
    assert images(made) == []
    made.ok("build", *written, "--load", "-t", "one", context)
    assert len(images(made)) == 1


@pytest.mark.parametrize("output", ["type=registry", "type=image,push=true"])
def test_an_output_may_be_a_registry(made, context, output):
    with fake_registry() as registry:
        made.ok("build", "-o", output, "-t", f"{registry.host}/app:1", context)
        named = f"{output},name={registry.host}/app:2"
        made.ok("build", "-o", named, context)
        assert registry.manifests["app", "1"][0] == registry.manifests["app", "2"][0]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--push"], "what is pushed needs a name; add -t"),
        (["-o", "type=registry"], "what is pushed needs a name; add -t"),
        (["-o", "type=oci,dest=x,push=true"], "only type=image is pushed; add --push"),
    ],
)
def test_what_cannot_be_pushed_is_refused(made, context, words, complaint):
    said = made("build", *words, context)
    assert complaint in said.err
    assert said.code == 1
    assert images(made) == []


def test_an_oci_archive_for_skopeo(made, context, tmp_path, needs_program):
    target = tmp_path / "out.tar"
    meta = tmp_path / "meta.json"
    made.ok(
        "build", "-t", "one:1", "-t", "two", "-o", f"type=oci,dest={target}",
        "--metadata-file", str(meta), context,
    )  # fmt: skip
    assert images(made) == []
    with tarfile.open(target) as archive:
        index = json.load(archive.extractfile("index.json"))
        for member in archive.getmembers():
            if member.isfile() and member.name.startswith("blobs/"):
                data = archive.extractfile(member).read()
                assert hashlib.sha256(data).hexdigest() == os.path.basename(member.name)
    names = [each["annotations"]["io.containerd.image.name"] for each in index["manifests"]]
    assert names == ["docker.io/library/one:1", "docker.io/library/two:latest"]
    document = json.loads(meta.read_text())
    assert document["containerimage.digest"] == index["manifests"][0]["digest"]
    assert document["image.name"] == "one:1,two"
    copied = tmp_path / "copied"
    subprocess.run(
        [needs_program("skopeo"), "copy", "-q", f"oci-archive:{target}:1", f"dir:{copied}"],
        check=True,
    )
    config = json.loads((copied / document["containerimage.config.digest"][7:]).read_text())
    assert config["config"]["Labels"] == {"x": "y"}


def test_the_same_bytes_again_and_uncompressed(made, context, tmp_path):
    one, two, plain = (str(tmp_path / name) for name in ("1", "2", "plain"))
    for target in (one, two):
        made.ok("build", "-q", "-o", f"type=oci,dest={target}", context)
    made.ok("build", "-o", f"type=oci,dest={plain},compression=uncompressed", context)
    with open(one, "rb") as first, open(two, "rb") as second:
        assert first.read() == second.read()
    with tarfile.open(plain) as archive:
        manifest = next(
            json.load(archive.extractfile(each))
            for each in archive.getmembers()
            if each.isfile() and b'"layers":[' in archive.extractfile(each).read(4096)
        )
    assert {each["mediaType"] for each in manifest["layers"]} == {
        "application/vnd.oci.image.layer.v1.tar"
    }


def kinds(path):
    """The media types of the layers of a layout's one image, and how much they take up."""
    (manifest,) = [layouts.document(path, layouts.top(path))]
    return {each["mediaType"] for each in manifest["layers"]}, manifest["layers"]


def test_how_layers_are_compressed(made, context, tmp_path):
    (tmp_path / "context" / "a").write_bytes(b"".join(b"%d" % each for each in range(20_000)))

    def layers(*fields):
        path = str(tmp_path / f"layout{len(os.listdir(tmp_path))}")
        output = ",".join(["type=oci", "tar=false", f"dest={path}", *fields])
        made.ok("build", "-q", "-o", output, context)
        return kinds(path)

    base = "application/vnd.oci.image.layer.v1.tar"
    assert layers("compression=zstd", "oci-mediatypes=true")[0] == {f"{base}+zstd"}
    assert layers("compression=uncompressed")[0] == {base}
    low = layers("compression=gzip", "compression-level=1", "force-compression=true")
    high = layers("compression-level=9", "unpack=true")
    assert low[0] == high[0] == {f"{base}+gzip"}
    assert low[1] != high[1]


def test_how_a_registry_is_sent_them(made, context):
    with fake_registry() as registry:
        names = f'"name={registry.host}/app:1,{registry.host}/app:2"'
        made.ok("build", "-o", f"type=registry,compression=zstd,{names}", context)
        both = ("--platform", "linux/amd64,linux/arm64", "-t", f"{registry.host}/app:3")
        made.ok("build", *both, "-o", "type=image,push=true,compression=zstd", context)
        one, two = (json.loads(registry.manifests["app", each][0]) for each in "12")
        index = json.loads(registry.manifests["app", "3"][0])
        found = [registry.manifests["app", each["digest"]][0] for each in index["manifests"]]
    assert one == two
    for manifest in (one, *map(json.loads, found)):
        assert {each["mediaType"].rpartition("+")[2] for each in manifest["layers"]} == {"zstd"}


def test_a_layout_can_be_built_upon(made, context, tmp_path):
    layout = str(tmp_path / "layout")
    made.ok("build", "-t", "base:1", "-o", f"type=oci,tar=false,dest={layout}", context)
    file = tmp_path / "Dockerfile"
    file.write_text("FROM scratch\nCOPY --from=other /d/b /got\n")
    out = tmp_path / "out"
    made.ok(
        "build", "-f", str(file), "--build-context", f"other=oci-layout://{layout}:1",
        "-o", str(out), context,
    )  # fmt: skip
    assert (out / "got").read_text() == "b"


def test_a_docker_archive_comes_back(made, context, tmp_path):
    target = str(tmp_path / "docker.tar")
    image = made.ok("build", "-q", "-t", "app", "-o", f"type=docker,dest={target}", context)
    assert images(made) == []
    made.ok("load", "-i", target)
    assert made.ok("images", "-q", "--no-trunc", "app") == image


def test_a_folder_belongs_to_the_caller(made, context, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "there").write_text("before")
    (out / "d").symlink_to("/tmp")
    made.ok("build", "-o", str(out), context)
    assert (out / "d" / "f").read_text() == "dir/f"
    assert not (out / "d").is_symlink()
    assert os.readlink(out / "d" / "l") == "/etc/passwd"
    assert (out / "there").read_text() == "before"
    assert (out / "d").stat().st_uid == os.geteuid()


def test_a_tar_to_standard_output(made, context, tmp_path):
    target = tmp_path / "tar"
    with open(target, "wb") as file:
        done = subprocess.run(
            made.command("build", "-o", "-", context), stdout=file, env=made.env, check=False
        )
    assert done.returncode == 0
    with tarfile.open(target) as archive:
        assert sorted(archive.getnames()) == ["a", "d", "d/b", "d/f", "d/l"]
        assert archive.getmember("d/f").uid == 5


def test_the_store_and_an_archive_at_once(made, context, tmp_path):
    target = str(tmp_path / "oci")
    made.ok("build", "-t", "app", "-o", "type=image", "-o", f"type=oci,dest={target}", context)
    assert len(images(made)) == 1
    assert os.path.getsize(target)


def test_what_a_folder_has_besides_goes_when_it_is_told_so(made, context, tmp_path):
    """Names, kinds and links that a build before left; nothing that a link leads to."""
    out, outside = tmp_path / "out", tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    for folder in ("d/l", "stale/deep", "a"):
        (out / folder).mkdir(parents=True)
    (out / "d" / "b").symlink_to(outside)
    (out / "away").symlink_to(outside)
    (out / "d" / "f").write_text("older and longer")
    os.link(out / "d" / "f", out / "stale" / "f")
    os.mkfifo(out / "\n\udcff")
    made.ok("build", "-o", f"type=local,dest={out},mode=delete", context)
    fresh = tmp_path / "fresh"
    made.ok("build", "-o", str(fresh), context)
    compared = ["diff", "-r", "--no-dereference", str(out), str(fresh)]
    assert subprocess.run(compared, check=False).returncode == 0
    assert (outside / "kept").read_text() == "kept"


@pytest.mark.parametrize("dest", [".", "..", "/", "{context}", "{context}/dir/.."])
def test_what_a_build_needs_is_not_deleted(made, context, dest):
    dest = dest.format(context=context)
    said = made("build", "-o", f"type=local,dest={dest},mode=delete", context)
    assert_complaint(said, "mode=delete would empty ", "name a dest= for the output alone")
    assert os.path.exists(f"{context}/Dockerfile")


@pytest.mark.parametrize(
    "text",
    ["type=tar,dest=x,mode=delete", "type=local,dest=x,mode=move", "type=floppy,dest=x", "type=local", "type=oci,tar=false", "type=oci,dst=x",
     "type=oci,dest=x,compression=lzma", "type=oci,dest=x,compression-level=x",
     "type=oci,dest=x,compression=zstd,compression-level=99",
     "type=image,compression=uncompressed", "type=oci,dest=x,oci-mediatypes=false"],
)  # fmt: skip
def test_outputs_that_mean_nothing(made, context, text):
    done = made("build", "-o", text, context)
    assert done.code == 1
    assert any(word in done.err for word in ("--output", "no level 99", "as 'lzma'")), done


def test_one_layer_of_what_the_build_adds(made, context, tmp_path, busybox_tar):
    made.ok("import", busybox_tar, "base")
    file = tmp_path / "Dockerfile"
    file.write_text(
        "FROM base\nCOPY a /gone\nRUN rm /gone && echo x >/kept\nLABEL a=b\nCOPY b /etc/b\n"
    )
    whole = made.ok("build", "-q", "-f", str(file), context).strip()
    image = made.ok("build", "-q", "--squash", "-t", "s", "-f", str(file), context).strip()
    assert made.ok("build", "-q", "--squash", "-f", str(file), context).strip() == image
    document = json.loads(made.ok("inspect", "s"))[0]
    base = json.loads(made.ok("inspect", "base"))[0]
    assert len(document["RootFS"]["Layers"]) == 2
    assert document["RootFS"]["Layers"][:1] == base["RootFS"]["Layers"]
    trees = []
    for each in (image, whole):
        out = tmp_path / each[7:19]
        made.ok(
            "build",
            "-q",
            "-f",
            str(file),
            "-o",
            str(out),
            *(["--squash"] if each == image else []),
            context,
        )
        trees.append(sorted(os.listdir(out)) + sorted(os.listdir(out / "etc")))
    assert trees[0] == trees[1]
    assert "gone" not in trees[0]
    assert "squash of 3 layers" in made.ok("history", "s")


def test_a_shell_where_a_step_failed(base):
    base.write("Dockerfile", "FROM base\nRUN echo kept >/seen\nRUN touch /tmp/not; exit 7\n")
    done = base("build", "--debug-shell", base.folder, stdin=b"cat /seen; ls /tmp/not; exit 3\n")
    assert done.code == 1
    assert done.out == "kept\n"
    assert "this is a shell where it began" in done.err
    assert "/tmp/not: No such file" in done.err
    base.write("Dockerfile", 'FROM scratch\nCOPY Dockerfile /\nRUN ["/nothing"]\n')
    assert base("build", "--debug-shell", base.folder, stdin=b"").code != 0
    refused = base("build", "--debug-shell", "-", stdin=b"FROM scratch\n")
    assert "a shell needs it" in refused.err


def test_the_build_cache_is_listed_and_emptied(base):
    assert base.ok("cache", "ls").split() == ["ID", "TYPE", "CREATED", "SIZE", "DESCRIPTION"]
    base.write("Dockerfile", "FROM base\nCOPY Dockerfile /etc/\nRUN echo 123 >/x && \\\n  true\n")
    base.ok("build", "-q", base.folder)
    rows = [line.split("   ") for line in base.ok("cache", "ls").splitlines()[1:]]
    told = sorted([word.strip() for word in row if word][1:] for row in rows)
    assert [(row[0], row[2], row[-1]) for row in told] == [
        ("copy", "61B", "/etc/"),
        ("run", "4B", "echo 123 >/x && true"),
    ]
    out = base.ok("cache", "ls", "--format", "{{.Type}} {{.Description}}")
    assert sorted(out.splitlines()) == ["copy /etc/", "run echo 123 >/x && true"]
    base.ok("cache", "prune", "-f")
    assert base.ok("cache", "ls").count("\n") == 1


def test_progress_for_programs(base):
    base.write("Dockerfile", "FROM base AS One\nRUN printf 'a\\377b'\n")
    for kind in ("json", "rawjson"):
        done = base("build", "--no-cache", "--progress", kind, "-t", "made", base.folder)
        said = [json.loads(line) for line in done.err.splitlines()]
        assert done.code == 0
        assert done.out == ""
        assert [each["event"] for each in said if each["event"] != "StepOutput"] == [
            *("StepStarted", "StepDone") * 2,
            *("CheckWarned", "Built"),
        ]
        output = "".join(each["data"] for each in said if each["event"] == "StepOutput")
        assert output == "a\ufffdb"
        assert said[-1]["names"] == ["made:latest"]
    refused = base("build", "--progress", "loud", base.folder)
    assert "there is no progress 'loud'" in refused.err


def test_of_a_build_only_the_cache_may_be_wanted(base):
    base.write("Dockerfile", "FROM base\nCOPY Dockerfile /\n")
    base.ok("build", "-q", "-o", "type=cacheonly", "-t", "made", base.folder)
    assert len(base.ok("images", "-qa").split()) == 1
    assert "CACHED" in base("build", base.folder).err
    assert "copy" in base.ok("buildx", "du")


def test_dockers_variable_says_how_to_show_what_happens(base):
    base.write("Dockerfile", "FROM base\n")
    for kind, start in (("rawjson", '{"event"'), ("plain", "#1 ")):
        said = base("build", base.folder, env={"BUILDKIT_PROGRESS": kind})
        assert (said.code, said.err.startswith(start)) == (0, True)
    said = base("build", "--progress=json", base.folder, env={"BUILDKIT_PROGRESS": "plain"})
    assert said.err.startswith('{"event"')
    assert not base("build", "-q", base.folder, env={"BUILDKIT_PROGRESS": "plain"}).err
