"""`build --platform`: one Dockerfile for several machines, as one name."""

import json
import os
import subprocess
import tarfile

import pytest

from lamina.spec import mediatypes
from lamina.testing.fake_registry import fake_registry
from lamina.testing.sample_images import descriptor, digest, index, oci_manifest, packed, sample
from lamina.testing.trees import tar_of
from tests.cli.rig import Lamina, assert_complaint

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")

TEXT = """FROM --platform=$BUILDPLATFORM scratch AS compiler
ARG TARGETARCH BUILDPLATFORM TARGETPLATFORM
COPY ${TARGETARCH} /program
FROM scratch
ARG TARGETARCH TARGETPLATFORM TARGETVARIANT
COPY --from=compiler /program /bin/program
LABEL for=$TARGETPLATFORM variant=$TARGETVARIANT
"""


@pytest.fixture
def made(tmp_path):
    (tmp_path / "lamina").mkdir()
    return Lamina(str(tmp_path / "lamina"), "overlay2")


@pytest.fixture
def context(tmp_path):
    folder = tmp_path / "context"
    folder.mkdir()
    for name in ("amd64", "arm64", "arm"):
        (folder / name).write_text(f"for {name}\n")
    (folder / "Dockerfile").write_text(TEXT)
    return str(folder)


def layout_of(path):
    """The index that a layout names, and each platform's config."""
    with open(f"{path}/index.json") as file:
        (top,) = json.load(file)["manifests"]
    configs = {}
    for each in blob(path, top["digest"])["manifests"]:
        platform = each["platform"]
        manifest = blob(path, each["digest"])
        configs["/".join(platform.values())] = blob(path, manifest["config"]["digest"])
    return top, configs


def blob(path, digest):
    with open(f"{path}/blobs/sha256/{digest.partition(':')[2]}") as file:
        return json.load(file)


def test_an_index_with_an_image_for_each(made, context, tmp_path, needs_program):
    target = str(tmp_path / "layout")
    meta = str(tmp_path / "meta.json")
    said = made(
        "build", "--platform", "linux/amd64,linux/arm64", "--platform", "linux/arm/v7",
        "-t", "app:1", "-o", f"type=oci,tar=false,dest={target}", "--metadata-file", meta, context,
    )  # fmt: skip
    assert said.code == 0, said
    top, configs = layout_of(target)
    assert top["mediaType"] == "application/vnd.oci.image.index.v1+json"
    assert (
        json.loads((tmp_path / "meta.json").read_text())["containerimage.digest"] == top["digest"]
    )
    assert sorted(configs) == ["amd64/linux", "arm/linux/v7", "arm64/linux"]
    labels = {name: config["config"]["Labels"] for name, config in configs.items()}
    assert labels["arm/linux/v7"] == {"for": "linux/arm/v7", "variant": "v7"}
    assert labels["arm64/linux"] == {"for": "linux/arm64", "variant": ""}
    assert configs["arm/linux/v7"]["variant"] == "v7"
    assert "#3 [linux/amd64 compiler 1/1] COPY" in said.err
    assert "[linux/arm64 stage-1 1/1] COPY --from=compiler" in said.err
    copied = str(tmp_path / "copied")
    skopeo = [needs_program("skopeo"), "--override-arch", "arm64", "copy", "-q"]
    subprocess.run([*skopeo, f"oci:{target}:1", f"dir:{copied}"], check=True)
    again = made("build", "--platform", "linux/amd64,linux/arm64,linux/arm/v7", context)
    assert again.err.count("CACHED") == 6


def test_what_all_platforms_share_is_done_once(made, context):
    with open(f"{context}/Dockerfile", "w") as file:
        file.write(
            "FROM --platform=$BUILDPLATFORM scratch AS shared\nCOPY arm /shared\n"
            "FROM scratch\nARG TARGETARCH\nCOPY --from=shared /shared /\nCOPY $TARGETARCH /own\n"
        )
    words = ("build", "--explain", "--platform", "linux/amd64,linux/arm64,linux/arm", context)
    for flags in ((), ("--no-cache",)):
        said = made(*words, *flags)
        assert said.err.count("CACHED") == 4, said  # two of each shared step
        assert len([line for line in said.err.splitlines() if "B added" in line]) == 5
    assert made(*words).err.count("CACHED") == 9


def test_each_tree_in_a_directory_of_its_own(made, context, tmp_path):
    out = tmp_path / "out"
    made.ok("build", "--platform", "linux/amd64,linux/arm/v7", "-o", str(out), context)
    assert (out / "linux_amd64/bin/program").read_text() == "for amd64\n"
    assert (out / "linux_arm_v7/bin/program").read_text() == "for arm\n"
    alone = tmp_path / "alone"
    made.ok("build", "--platform", "linux/arm64", "-o", str(alone), context)
    assert (alone / "bin/program").read_text() == "for arm64\n"


def test_each_tree_in_a_directory_of_one_tar(made, context, tmp_path):
    target = tmp_path / "tar"
    words = ("--platform", "linux/amd64,linux/arm64", "-o", f"type=tar,dest={target}")
    made.ok("build", *words, context)
    with tarfile.open(target) as archive:
        assert archive.getnames()[:2] == ["linux_amd64", "linux_amd64/bin"]
        for each in ("amd64", "arm64"):
            member = archive.extractfile(f"linux_{each}/bin/program")
            assert member is not None
            assert member.read().decode() == f"for {each}\n"


def test_a_docker_archive_holds_one_platform(made, context, tmp_path):
    words = ("--platform", "linux/amd64,linux/arm64", "-o", f"type=docker,dest={tmp_path}/x")
    assert_complaint(made("build", *words, context), "holds one platform", "type=oci")
    assert not os.path.exists(tmp_path / "x")


def test_the_store_has_the_one_for_this_machine(made, context):
    said = made("build", "-t", "app", "--platform", "linux/arm64,local", context)
    assert "the store has the image for linux/amd64 of these" in said.err
    assert made.ok("inspect", "--format", "{{.Architecture}}", "app").strip() == "amd64"
    made.ok("build", "-t", "app", "--platform", "linux/arm64", context)
    assert made.ok("inspect", "--format", "{{.Architecture}}", "app").strip() == "arm64"


def test_pushed_as_one_name_and_pulled_for_each(made, context, tmp_path):
    with fake_registry() as registry:
        name = f"{registry.host}/app:1"
        cache = f"type=registry,ref={registry.host}/app:cache"
        words = ("--platform", "linux/amd64,linux/arm64", "-t", name, "--push")
        made.ok("build", *words, "--cache-to", f"{cache},mode=max", context)
        pushed = json.loads(registry.manifests["app", "1"][0])
        assert [each["platform"] for each in pushed["manifests"]] == [
            {"architecture": "amd64", "os": "linux"},
            {"architecture": "arm64", "os": "linux"},
        ]
        other = Lamina(str(tmp_path / "lamina" / "other"), "vfs")
        os.mkdir(other.folder)
        for architecture in ("arm64", "amd64"):
            other.ok("pull", "--platform", f"linux/{architecture}", name)
            form = ("--format", "{{.Architecture}}")
            assert other.ok("inspect", *form, name).strip() == architecture
        third = Lamina(str(tmp_path / "lamina" / "third"), "vfs")
        os.mkdir(third.folder)
        said = third("build", *words, "--cache-from", cache, context)
        assert said.err.count("CACHED") == 4, said
        assert json.loads(registry.manifests["app", "1"][0]) == pushed


def test_inline_caches_of_an_index(made, context, tmp_path):
    with fake_registry() as registry:
        name = f"{registry.host}/app:1"
        words = ("--platform", "linux/amd64,linux/arm64", "-t", name, "--cache-to", "inline")
        made.ok("build", *words, "--push", context)
        other = Lamina(str(tmp_path / "lamina" / "other"), "vfs")
        os.mkdir(other.folder)
        said = other("build", *words, "--cache-from", name, context)
        assert said.err.count("CACHED") == 4, said


def test_a_base_is_that_of_the_platform(made, tmp_path):
    """FROM without a platform means the target's, FROM --platform=$BUILDPLATFORM this machine's."""
    with fake_registry() as registry:
        folder = tmp_path / "lamina" / "bases"
        folder.mkdir()
        (folder / "Dockerfile").write_text(
            "FROM scratch\nARG TARGETARCH\nLABEL base=$TARGETARCH\nCOPY Dockerfile /\n"
        )
        name = f"{registry.host}/base:1"
        both = ("--platform", "linux/amd64,linux/arm64")
        made.ok("build", *both, "-t", name, "--push", str(folder))
        (folder / "Dockerfile").write_text(
            f"FROM --platform=$BUILDPLATFORM {name} AS build\nLABEL a=b\nFROM {name}\n"
        )
        target = str(tmp_path / "layout")
        other = Lamina(str(tmp_path / "lamina" / "other"), "vfs")
        os.mkdir(other.folder)
        other.ok("build", *both, "-o", f"type=oci,tar=false,dest={target}", str(folder))
        _, configs = layout_of(target)
        labels = {name: config["config"]["Labels"]["base"] for name, config in configs.items()}
        assert labels == {"amd64/linux": "amd64", "arm64/linux": "arm64"}


def others_index(registry):
    """A base for two platforms that another tool packed; gives the digest of each one's layer."""
    described, blobs = [], {}
    for architecture in ("amd64", "arm64"):
        image = sample(f"f {architecture} x", architecture=architecture)
        manifest = oci_manifest(image)
        registry.add_blob(image.config)
        blobs[architecture] = registry.add_blob(packed(image.layers[0]))
        registry.add_manifest("base", digest(manifest), manifest, mediatypes.OCI_MANIFEST)
        platform = {"os": "linux", "architecture": architecture}
        described.append(descriptor(mediatypes.OCI_MANIFEST, manifest, platform=platform))
    registry.add_manifest("base", "1", index(*described), mediatypes.OCI_INDEX)
    return blobs


def test_layers_of_bases_go_as_they_came(made):
    with fake_registry() as registry:
        theirs = others_index(registry)
        made.write("derived/Dockerfile", f"FROM {registry.host}/base:1\nCOPY Dockerfile /\n")
        platforms = ("--platform", "linux/amd64,linux/arm64")
        name = f"{registry.host}/derived"
        made.ok("build", *platforms, "-t", name, "--push", f"{made.folder}/derived")
        document = json.loads(registry.manifests["derived", "latest"][0])
        for each in document["manifests"]:
            manifest = json.loads(registry.manifests["derived", each["digest"]][0])
            own = theirs[each["platform"]["architecture"]]
            assert (len(manifest["layers"]), manifest["layers"][0]["digest"]) == (2, own)
            assert registry.count(f"^PUT .*{own}") == 0


def architecture(made, name):
    return made.ok("inspect", "--format", "{{.Architecture}}", name).strip()


def test_dockers_default_platform(made, context):
    arm = {"DOCKER_DEFAULT_PLATFORM": "linux/arm64"}
    made.env |= arm
    made.ok("build", "-q", "-t", "app", context)
    made.ok("build", "-q", "-t", "other", "--platform", "linux/amd64", context)
    made.ok("import", made.write("a.tar", tar_of("f a b")), "imported")
    found = [architecture(made, name) for name in ("app", "other", "imported")]
    assert found == ["arm64", "amd64", "arm64"]
    with fake_registry() as registry:
        others_index(registry)
        name = f"{registry.host}/base:1"
        made.ok("pull", "-q", name)
        assert architecture(made, name) == "arm64"
        made.ok("pull", "-q", "--platform", "linux/amd64", name)
        assert architecture(made, name) == "amd64"
        made.ok("create", "--name", "one", name, "/x")  # what is here is for another platform
        assert architecture(made, name) == "arm64"
    for verb in ("create", "run"):
        refused = made(verb, "--pull=never", "other", "/x")
        assert_complaint(refused, "no such image: other for linux/arm64", code=refused.code)
    made.env |= {"DOCKER_DEFAULT_PLATFORM": "no such"}
    for words in (("build", context), ("pull", "x"), ("run", "app"), ("create", "app")):
        refused = made(*words)
        assert_complaint(refused, "DOCKER_DEFAULT_PLATFORM=no such: ", code=refused.code)
    made.ok("build", "-q", "--platform", "linux/arm64", context)


def test_a_command_of_another_machine_says_what_is_missing(made, tmp_path):
    folder = tmp_path / "lamina" / "foreign"
    folder.mkdir()
    with open("/proc/self/exe", "rb") as file:
        head = bytearray(file.read(1 << 12))
    head[18:20] = (183).to_bytes(2, "little")  # e_machine: AArch64
    (folder / "sh").write_bytes(head)
    (folder / "sh").chmod(0o755)
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY sh /bin/sh\nRUN true\n")
    said = made("build", "--platform", "linux/arm64", str(folder))
    if os.path.isdir("/proc/sys/fs/binfmt_misc") and os.listdir("/proc/sys/fs/binfmt_misc"):
        pytest.skip("this machine may know the format")
    assert_complaint(
        said,
        "Dockerfile:3: cannot run '/bin/sh': exec format error: it is built for linux/arm64, this",
        "no emulator for it is registered in binfmt_misc",
        "qemu-user-static",
    )
    assert made.ok("images", "-q", "-a") == ""


@pytest.mark.parametrize("text", ["linux/", "a/b/c/d", "no such"])
def test_what_is_no_platform_is_refused(made, context, text):
    assert_complaint(made("build", "--platform", text, context), "platform")
