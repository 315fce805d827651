"""SBOMs: kept at a registry with and without a list of referrers, read back, made of packages."""

import json
import os
import random
import tarfile

import pytest

from lamina.analyze.packages import Package
from lamina.analyze.spdx import distribution_of, document, package_url
from lamina.cli.main import main
from lamina.engine.open import open_store
from lamina.engine.sboms import Attached, Sboms
from lamina.errors import BadDocument, DigestMismatch, ImageNotFound, RegistryError, UsageError
from lamina.spec import mediatypes, sbom
from lamina.spec.imageconfig import ImageConfig
from lamina.testing.fake_registry import fake_registry
from lamina.testing.sample_images import descriptor, digest, index, oci_manifest, sample
from lamina.values.digest import BlobDigest
from lamina.values.reference import Reference

IMAGE = oci_manifest(sample("f a one", names=[]))
SPDX = b'{"spdxVersion": "SPDX-2.3", "name": "x"}'
CYCLONE = b'{"bomFormat": "CycloneDX"}'


@pytest.fixture
def registry():
    with fake_registry() as made:
        made.add_manifest("demo", "1", IMAGE, mediatypes.OCI_MANIFEST)
        yield made


@pytest.fixture
def store(tmp_path, needs_root):
    environ = {"HOME": str(tmp_path), "CONTAINERS_REGISTRIES_CONF": os.devnull}
    roots = {"run_root": str(tmp_path / "run"), "driver": "vfs", "environ": environ}
    with open_store(str(tmp_path / "root"), **roots) as opened:
        yield opened


@pytest.fixture
def sboms(store):
    return Sboms(store.registries())


@pytest.fixture
def name(registry):
    return Reference.parse(f"{registry.host}/demo:1")


def without_a_list(registry):
    """Let a registry be one before OCI's distribution 1.1: it has but the tag for referrers."""
    registry.wrong("/referrers/", lambda exchange: exchange.answer(404, b"{}") is None)


@pytest.fixture(params=["list", "tag"])
def way(request, registry):
    if request.param == "tag":
        without_a_list(registry)
    else:
        registry.notes_subjects = True
    return request.param


TAG = digest(IMAGE).replace(":", "-")


def test_what_is_attached_is_listed_and_read(registry, sboms, name, way):
    first = sboms.attach(name, SPDX)
    assert sboms.attach(name, SPDX) == first  # equal ones are one
    second = sboms.attach(name, CYCLONE)
    assert sboms.list(name) == [first, second]
    assert [sboms.read(name, each) for each in (first, second)] == [SPDX, CYCLONE]
    assert sboms.list(name, kind="application/spdx+json") == [first]
    assert (("demo", TAG) in registry.manifests) is (way == "tag")
    assert json.loads(registry.manifests["demo", first.digest][0]) == {
        "schemaVersion": 2,
        "mediaType": mediatypes.OCI_MANIFEST,
        "artifactType": "application/spdx+json",
        "config": descriptor("application/vnd.oci.empty.v1+json", b"{}"),
        "layers": [descriptor("application/spdx+json", SPDX)],
        "subject": descriptor(mediatypes.OCI_MANIFEST, IMAGE),
    }


def test_what_others_wrote_into_the_tag_stays(registry, sboms, name):
    without_a_list(registry)
    other = descriptor(mediatypes.OCI_MANIFEST, b"x", artifactType="a/signature")
    other |= {"platform": {"os": "linux", "architecture": "arm"}, "annotations": {"a": "b"}}
    registry.add_manifest("demo", TAG, index(other), mediatypes.OCI_INDEX)
    attached = sboms.attach(name, SPDX)
    listed = json.loads(registry.manifests["demo", TAG][0])["manifests"]
    assert listed[0] == other
    assert (listed[1]["digest"], listed[1]["artifactType"]) == (attached.digest, attached.type)
    assert sboms.list(name) == [attached]


def test_a_tag_that_another_one_writes_is_written_again(registry, sboms, name):
    without_a_list(registry)
    lost = []

    def lose(exchange):
        exchange.body()
        lost.append(exchange.path)
        exchange.answer(201)
        return True

    registry.wrong("PUT .*/manifests/sha256-", lose, times=2)
    attached = sboms.attach(name, SPDX)
    assert len(lost) == 2
    assert sboms.list(name) == [attached]
    registry.wrong("PUT .*/manifests/sha256-", lose)
    with pytest.raises(RegistryError, match="does not keep the tag sha256-"):
        sboms.attach(name, CYCLONE)


def test_of_an_index_the_whole_or_one_image(registry, sboms, name):
    here = {"os": "linux", "architecture": "arm64"}
    whole = index(descriptor(mediatypes.OCI_MANIFEST, IMAGE, platform=here))
    registry.add_manifest("demo", "all", whole, mediatypes.OCI_INDEX)
    name = name._replace(tag="all")
    attached = sboms.attach(name, SPDX)
    one = sboms.attach(name, CYCLONE, platform="linux/arm64")
    assert sboms.list(name) == [attached]
    assert sboms.list(name, platform="linux/arm64") == [one]
    assert sboms.list(name._replace(tag="1")) == [one]
    with pytest.raises(ImageNotFound, match="is no index"):
        sboms.list(name._replace(tag="1"), platform="linux/arm64")


STATED = {"predicateType": "https://spdx.dev/Document", "predicate": json.loads(SPDX)}


def said(registry, statement, subject, **fields):
    """What BuildKit puts into an index of an image: a manifest with one statement."""
    data = json.dumps(statement).encode()
    note = {"in-toto.io/predicate-type": statement["predicateType"]}
    kind = "application/vnd.in-toto+json"
    manifest = {
        "schemaVersion": 2,
        "mediaType": mediatypes.OCI_MANIFEST,
        "config": descriptor(mediatypes.OCI_EMPTY, b"{}"),
        "layers": [{**descriptor(kind, data), "annotations": note}],
        **fields,
    }
    raw = json.dumps(manifest).encode()
    registry.add_blob(data)
    registry.add_manifest("demo", digest(raw), raw, mediatypes.OCI_MANIFEST)
    nowhere = {"os": "unknown", "architecture": "unknown"}
    notes = {
        "vnd.docker.reference.type": "attestation-manifest",
        "vnd.docker.reference.digest": digest(subject),
    }
    return {**descriptor(mediatypes.OCI_MANIFEST, raw, platform=nowhere), "annotations": notes}


def indexed(registry, name, *attestations):
    here = {"os": "linux", "architecture": "arm64"}
    whole = index(descriptor(mediatypes.OCI_MANIFEST, IMAGE, platform=here), *attestations)
    registry.add_manifest("demo", "all", whole, mediatypes.OCI_INDEX)
    return name._replace(tag="all")


def test_what_a_build_said_of_an_image_beside_it(registry, sboms, name):
    provenance = {"predicateType": "https://slsa.dev/provenance/v1", "predicate": {}}
    other = oci_manifest(sample("f b two", names=[]))
    kind = "application/vnd.docker.attestation.manifest.v1+json"
    name = indexed(
        registry,
        name,
        said(registry, STATED, IMAGE, artifactType=kind),
        said(registry, provenance, IMAGE),
        said(registry, {**STATED, "predicate": {"of": "another"}}, other),
    )
    first, second = sboms.list(name)
    assert sboms.list(name, platform="linux/arm64") == [first]
    assert first.type == second.type == "application/spdx+json"
    assert json.loads(sboms.read(name, first)) == json.loads(SPDX)
    assert json.loads(sboms.read(name, second)) == {"of": "another"}
    attached = sboms.attach(name, CYCLONE)
    assert sboms.list(name) == [attached, first, second]
    assert sboms.list(name, kind="application/vnd.cyclonedx+json") == [attached]


@pytest.mark.parametrize(
    ("statement", "complaint"),
    [
        ({**STATED, "predicate": [1]}, "predicate"),
        ({**STATED, "other": json.loads("[" * 70 + "]" * 70)}, "nested more than 64"),
    ],
)
def test_statements_that_say_nothing(registry, sboms, name, statement, complaint):
    name = indexed(registry, name, said(registry, statement, IMAGE))
    (found,) = sboms.list(name)
    with pytest.raises(BadDocument, match=complaint):
        sboms.read(name, found)


def test_a_statement_that_is_another_than_it_is_called(registry, sboms, name):
    lying = said(registry, STATED, IMAGE)
    raw, kind = registry.manifests["demo", lying["digest"]]
    data = json.dumps({**STATED, "predicateType": "https://slsa.dev/provenance/v1"}).encode()
    manifest = json.loads(raw)
    manifest["layers"][0] |= {"digest": registry.add_blob(data), "size": len(data)}
    raw = json.dumps(manifest).encode()
    registry.add_manifest("demo", digest(raw), raw, kind)
    name = indexed(registry, name, {**lying, "digest": digest(raw), "size": len(raw)})
    (found,) = sboms.list(name)
    with pytest.raises(BadDocument, match="says something else than"):
        sboms.read(name, found)


def test_what_is_no_sbom_must_be_called_one(sboms, name):
    with pytest.raises(UsageError, match="--artifact-type"):
        sboms.attach(name, b"hello")
    attached = sboms.attach(name, b"hello", kind="application/x")
    assert sboms.list(name) == []
    assert sboms.list(name, kind="application/x") == [attached]


def test_what_a_registry_gives_is_verified(registry, sboms, name):
    attached = sboms.attach(name, SPDX)
    registry.blobs[digest(SPDX)] = SPDX.replace(b"x", b"y")
    with pytest.raises(DigestMismatch):
        sboms.read(name, attached)
    raw = json.dumps({**json.loads(IMAGE), "layers": []}).encode()
    wrong = registry.add_manifest("demo", "w", raw, mediatypes.OCI_MANIFEST)
    with pytest.raises(BadDocument, match="does not hold one document"):
        sboms.read(name, Attached(BlobDigest(wrong), "x"))


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (SPDX, "application/spdx+json"),
        (b'{"@context": "https://spdx.org/rdf/3.0.1/x.jsonld"}', "application/spdx+json"),
        (CYCLONE, "application/vnd.cyclonedx+json"),
        (b'<bom xmlns="http://cyclonedx.org/schema/bom/1.5"/>', "application/vnd.cyclonedx+xml"),
        (b"# by hand\nSPDXVersion: SPDX-2.3\n", "text/spdx"),
        (b'{"schema": {"url": "https://x/anchore/syft/y"}}', "application/vnd.syft+json"),
        (b"{}", ""),
    ],
)
def test_an_sbom_says_what_it_is(content, kind):
    assert sbom.media_type(content) == kind
    assert sbom.is_sbom(kind) is bool(kind)


def test_the_commands(registry, tmp_path, capsys, needs_root):
    root = ["--root", str(tmp_path / "r"), "--run-root", str(tmp_path / "u"), "--driver", "vfs"]
    name, file = f"{registry.host}/demo:1", tmp_path / "x.json"
    file.write_bytes(SPDX)

    def said(*words):
        status = main([*root, "sbom", *words])
        out, err = capsys.readouterr()
        return status, out, err

    status, _, err = said(name)
    assert (status, "no SBOM is kept for" in err) == (1, True)
    status, first, _ = said("attach", "-q", name, str(file))
    assert status == 0
    assert said("-o", str(tmp_path / "out"), name) == (0, "", "")
    assert (tmp_path / "out").read_bytes() == SPDX
    file.write_bytes(CYCLONE)
    status, out, _ = said("attach", name, str(file))
    assert out.splitlines()[1] == f"Status: Attached application/vnd.cyclonedx+json to {name}"
    status, out, _ = said("ls", name)
    assert [line.split()[1] for line in out.splitlines()[1:]] == [
        "application/spdx+json",
        "application/vnd.cyclonedx+json",
    ]
    status, _, err = said(name)
    assert (status, "2 SBOMs are kept" in err) == (1, True)
    assert said("--digest", first.strip()[7:19], "-o", str(tmp_path / "out"), name)[0] == 0
    assert (tmp_path / "out").read_bytes() == SPDX
    status, _, err = said("attach", name, str(tmp_path / "none"))
    assert (status, "No such file" in err) == (1, True)


# --- made of packages -----------------------------------------------------------------------------

PACKAGES = [
    Package("deb", "libstdc++6", "amd64", "12.2.0-14+deb12u1"),
    Package("deb", "base-files", "amd64", "1:12.4"),
    Package("apk", "musl", "x86_64", "1.2.4-r2"),
    Package("rpm", "bash", "x86_64", "1:5.2-1.fc39"),
    Package("pip", "requests", "", "2.31.0"),
]


def test_package_urls():
    assert [package_url(each, "debian") for each in PACKAGES] == [
        "pkg:deb/debian/libstdc%2B%2B6@12.2.0-14%2Bdeb12u1?arch=amd64",
        "pkg:deb/debian/base-files@1:12.4?arch=amd64",
        "pkg:apk/debian/musl@1.2.4-r2?arch=x86_64",
        "pkg:rpm/debian/bash@5.2-1.fc39?arch=x86_64&epoch=1",
        "pkg:pypi/requests@2.31.0",
    ]
    assert package_url(PACKAGES[0]._replace(version=""), "") == "pkg:deb/libstdc%2B%2B6?arch=amd64"


def test_equal_images_give_equal_documents():
    config = ImageConfig.parse(sample("f a b", names=[], created="2024-05-06T07:08:09.5Z").config)
    first = document("x", config, PACKAGES, "debian", "tool-1")
    shuffled = random.Random(1).sample(PACKAGES * 2, len(PACKAGES) * 2)
    assert document("x", config, shuffled, "debian", "tool-1") == first
    whole = json.loads(first)
    created = {"created": "2024-05-06T07:08:09Z", "creators": ["Tool: tool-1"]}
    assert whole["creationInfo"] == created
    identities = {each["SPDXID"] for each in whole["packages"]}
    assert len(whole["packages"]) == len(identities) == len(PACKAGES) + 1
    assert {each["relatedSpdxElement"] for each in whole["relationships"]} == identities


@pytest.mark.parametrize(
    ("release", "identity"),
    [
        (b'NAME="x"\nID=debian\n', "debian"),
        (b'ID="fedora"\n', "fedora"),
        (b"VERSION_ID=1\n", ""),
        (b"", ""),
    ],
)
def test_whose_packages_they_are(release, identity):
    assert distribution_of(release) == identity


def test_an_image_tells_its_packages(store, tmp_path):
    root, packed = tmp_path / "tree", tmp_path / "x.tar"
    for path, content in (
        ("var/lib/dpkg/status", "Package: a\nArchitecture: all\nVersion: 1\n"),
        ("usr/lib/os-release", "ID=debian\n"),
        ("usr/lib/python3/dist-packages/Some_Thing-2.0.dist-info/METADATA", ""),
    ):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(content)
    (root / "etc").mkdir()
    (root / "etc/os-release").symlink_to("../usr/lib/os-release")
    with tarfile.open(packed, "w") as archive:
        archive.add(root, ".")
    image = store.images.import_(str(packed), repository="x", created=0.0)
    content = image.sbom("x")
    found = [each.get("externalRefs") for each in json.loads(content)["packages"]]
    assert [each[0]["referenceLocator"] for each in found if each] == [
        "pkg:deb/debian/a@1?arch=all",
        "pkg:pypi/some-thing@2.0",
    ]
    with open(tmp_path / "x.archive", "wb") as out:
        image.save(out.write)
    assert store.images.look(f"docker-archive:{tmp_path}/x.archive").sbom("x") == content
