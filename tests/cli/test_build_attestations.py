"""`build --provenance`, `--sbom`, `--attest`: what is said of an image, beside it in an index."""

import hashlib
import json
import os
import subprocess
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from lamina.spec import mediatypes
from lamina.testing.fake_registry import fake_registry
from lamina.testing.sample_images import digest, oci_manifest, packed, sample
from tests.cli import layouts
from tests.cli.rig import Lamina, assert_complaint
from tests.serving import served

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")

PROVENANCE, SPDX = "https://slsa.dev/provenance/v1", "https://spdx.dev/Document"
DPKG = "Package: tiny\nStatus: install ok installed\nVersion: 1:2-3\nArchitecture: amd64\n"


@pytest.fixture
def made(tmp_path):
    (tmp_path / "lamina").mkdir()
    lamina = Lamina(str(tmp_path / "lamina"), "vfs")
    lamina.write("context/status", DPKG)
    lamina.write("context/Dockerfile", "FROM scratch\nARG A\nCOPY status /var/lib/dpkg/status\n")
    return lamina


def layout(made, *words, context="context"):
    """The path of a layout that a build wrote, and what came with it."""
    path = os.path.join(made.folder, f"layout{len(os.listdir(made.folder))}")
    said = made(
        "build", "-o", f"type=oci,tar=false,dest={path}", *words, f"{made.folder}/{context}"
    )
    assert said.code == 0, said
    return path


def provenance(path):
    """What the provenance of a layout's one image says, and its subjects."""
    ((image, said),) = layouts.said(path)
    statement = said[PROVENANCE]
    for each in statement["subject"]:
        assert each["digest"] == {"sha256": image["digest"].partition(":")[2]}
    return statement["predicate"], [each["name"] for each in statement["subject"]]


class Files(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"fetched")

    def log_message(self, *_words):
        pass


@pytest.fixture
def web():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Files)
    with served(server):
        yield f"127.0.0.1:{server.server_address[1]}"


def base_at(registry):
    """A base image with a manifest that another tool made; gives its name and digest."""
    image = sample("f base x")
    manifest = oci_manifest(image)
    registry.add_blob(image.config)
    registry.add_blob(packed(image.layers[0]))
    registry.add_manifest("team/base", "1", manifest, mediatypes.OCI_MANIFEST)
    return f"{registry.host}/team/base:1", digest(manifest).partition(":")[2]


def test_what_an_image_was_made_of(made, web):
    with fake_registry() as registry:
        name, digits = base_at(registry)
        made.write(
            "context/Dockerfile",
            f"FROM {name} AS base\nFROM scratch\nADD http://me:pass@{web}/f?key=hidden /f\n"
            "COPY --from=base /base /\n",
        )
        predicate, names = provenance(
            layout(made, "--provenance", "-t", "app", "-t", "b.c/d/app:2")
        )
        url = f"http://{web}/f"
        purl = f"pkg:docker/{name.replace(':', '%3A', 1).replace(':1', '@1')}"
        assert predicate["buildDefinition"]["resolvedDependencies"] == [
            {"uri": url, "digest": {"sha256": hashlib.sha256(b"fetched").hexdigest()}},
            {"uri": purl, "digest": {"sha256": digits}},
        ]
    assert names == [
        "pkg:docker/app@latest?platform=linux%2Famd64",
        "pkg:docker/b.c/d/app@2?platform=linux%2Famd64",
    ]
    assert predicate["runDetails"]["builder"]["id"] == "urn:lamina:builder"
    assert predicate["buildDefinition"]["internalParameters"] == {"builderPlatform": "linux/amd64"}


def test_arguments_and_no_secrets(made, base_and_secret):
    words, secret = base_and_secret
    for mode in ("min", "max"):
        path = layout(made, f"--provenance=mode={mode}", *words)
        predicate, names = provenance(path)
        assert names == ["_"]
        definition = predicate["buildDefinition"]
        request = definition["externalParameters"]["request"]
        assert request["locals"] == [{"name": "context"}]
        args = {"target": "last", "force-network-mode": "none"}
        if mode == "max":
            args |= {"build-arg:A": "given", "label:x": "y"}
            assert request["secrets"] == [{"id": "key"}]
            assert definition["internalParameters"]["dockerfile"]["filename"] == "Dockerfile"
        else:
            assert "secrets" not in request
            assert "dockerfile" not in definition["internalParameters"]
        assert request["args"] == args
        for each in os.listdir(f"{path}/blobs/sha256"):
            data = layouts.blob(path, f"sha256:{each}")
            assert secret not in data
            assert b"proxy-pass" not in data


@pytest.fixture
def base_and_secret(made):
    """Flags of a build with everything that is to be told, and that is not."""
    secret = b"the value of the secret"
    made.write("key", secret)
    made.env["DOCKER_CONFIG"] = made.folder
    proxies = {"proxies": {"default": {"httpProxy": "http://u:proxy-pass@p:1"}}}
    made.write("config.json", json.dumps(proxies))
    made.write("context/Dockerfile", "FROM scratch AS last\nARG A=b\nCOPY status /s\n")
    words = ["--build-arg", "A=given", "--label", "x=y", "--target", "last", "--network=none"]
    return [*words, "--secret", f"id=key,src={made.folder}/key"], secret


def test_packages_in_spdx(made):
    path = layout(made, "--attest", "type=sbom", "-t", "app")
    ((image, said),) = layouts.said(path)
    assert list(said) == [SPDX]
    packages = {each["name"]: each for each in said[SPDX]["predicate"]["packages"]}
    assert packages["tiny"]["versionInfo"] == "1:2-3"
    made.ok("load", "-i", path)
    document = json.loads(made.ok("sbom", "make", "app"))
    assert said[SPDX]["predicate"] == {**document, "name": "app"}
    config = layouts.document(path, layouts.document(path, image)["config"])
    assert config["architecture"] == "amd64"


def test_each_platform_has_its_own(made):
    path = layout(
        made, "--platform", "linux/amd64,linux/arm64", "--provenance", "--sbom", "-t", "a"
    )
    found = layouts.said(path)
    assert [image["platform"]["architecture"] for image, _ in found] == ["amd64", "arm64"]
    for image, said in found:
        platform = f"linux%2F{image['platform']['architecture']}"
        assert sorted(said) == [PROVENANCE, SPDX]
        for each in said.values():
            assert [one["name"] for one in each["subject"]] == [
                f"pkg:docker/a@latest?platform={platform}"
            ]
            assert each["subject"][0]["digest"]["sha256"] == image["digest"][7:]


def test_with_an_epoch_the_same_bytes_again(made):
    words = ("--provenance=mode=max", "--sbom", "--timestamp", "1000000000", "-t", "app")
    one, two = layout(made, *words), layout(made, "--no-cache", *words)
    again = layout(made, *words)
    assert layouts.top(one) == layouts.top(again)
    assert layouts.top(one) != layouts.top(two)  # which was asked not to use the cache
    metadata = provenance_of_both(one)["runDetails"]["metadata"]
    assert set(metadata.values()) == {"2001-09-09T01:46:40Z"}


def provenance_of_both(path):
    ((_, said),) = layouts.said(path)
    return said[PROVENANCE]["predicate"]


def test_pushed_and_pulled_and_carried_on(made, tmp_path, needs_program):
    skopeo = [needs_program("skopeo"), "copy", "-q", "--all", "--src-tls-verify=false"]
    with fake_registry() as registry:
        name = f"{registry.host}/app:1"
        words = ("-t", name, "--push", "--provenance", "--annotation", "index,manifest:a=b")
        made.ok("build", *words, f"{made.folder}/context")
        index = json.loads(registry.manifests["app", "1"][0])
        assert index["annotations"] == {"a": "b"}
        assert [each["platform"]["os"] for each in index["manifests"]] == ["linux", "unknown"]
        other = Lamina(str(tmp_path / "other"), "vfs")
        os.mkdir(other.folder)
        other.ok("pull", "-q", name)
        image = other.ok("images", "-q", "--no-trunc")
        assert image == made.ok("images", "-q", "--no-trunc")
        carried = str(tmp_path / "carried")
        subprocess.run([*skopeo, f"docker://{name}", f"oci:{carried}:x"], check=True)
        other.ok("copy", "--all", f"docker://{name}", "oci:ours:x")
    for path in (carried, f"{other.folder}/ours"):
        assert layouts.document(path, layouts.top(path)) == index
        assert provenance(path)[1] == [
            f"pkg:docker/{name.replace(':', '%3A', 1).replace(':1', '@1')}?platform=linux%2Famd64"
        ]


def test_the_packages_that_a_registry_keeps_of_what_was_built(made):
    with fake_registry() as registry:
        name = f"{registry.host}/app:1"
        made.ok("build", "-t", name, "--push", "--sbom", f"{made.folder}/context")
        assert json.loads(made.ok("sbom", name)) == json.loads(made.ok("sbom", "make", name))
        (_, row) = made.ok("sbom", "ls", name).splitlines()
        assert row.split()[1] == "application/spdx+json"
        assert made.ok("sbom", "--digest", row.split()[0], name) == made.ok("sbom", name)
        made.ok("sbom", "--platform", "linux/amd64", name)


def test_of_the_store_one_image_stays_one_image(made):
    words = ("-t", "app", "--load", "-o", "type=oci,dest=out", "--provenance")
    made.ok("build", *words, f"{made.folder}/context")
    made.ok("copy", "lamina:app", "oci:one:app")
    path = f"{made.folder}/one"
    assert layouts.top(path)["mediaType"] == mediatypes.OCI_MANIFEST


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["--sbom"], ["no output has room for what is said", "add -o type=oci"]),
        (["--provenance", "-o", "x"], ["no output has room for what is said"]),
        (["--attest", "type=docker,dest=x"], ["there is no type 'docker'"]),
        (["--attest", "provenance"], ["'provenance' is not KEY=VALUE"]),
        (["--provenance=mode=some"], ["there is no mode 'some'; it is min or max"]),
        (["--provenance=version=v0.2"], ["the provenance is SLSA v1"]),
        (["--provenance=maximum=1"], ["unknown field 'maximum'"]),
        (["--sbom=generator=docker/scout"], ["no generator is run", "sbom attach"]),
    ],
)
def test_what_cannot_be_said_is_refused_before_anything_is_built(made, words, wanted):
    said = made("build", "-t", "app", *words, f"{made.folder}/context")
    assert_complaint(said, *wanted)
    assert not said.err.startswith("#")
    assert made.ok("images", "-q") == ""


def test_of_two_of_a_kind_the_later_counts(made):
    off = ("--provenance=mode=max", "--provenance=false", "--sbom=0")
    path = layout(made, *off)
    assert layouts.top(path)["mediaType"] == mediatypes.OCI_MANIFEST
    path = layout(
        made, "--attest", "type=provenance,disabled=true", "--provenance=builder-id=urn:me"
    )
    assert provenance(path)[0]["runDetails"]["builder"]["id"] == "urn:me"
