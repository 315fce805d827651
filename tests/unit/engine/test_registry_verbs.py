"""Tags, catalog, referrers and deletion at a registry that may not know them, or misbehave."""

import json
import os

import pytest

from lamina.cli.main import main
from lamina.engine.open import open_store
from lamina.errors import AccessRefused, BadDocument, ImageNotFound, InvalidReference, RegistryError
from lamina.spec import mediatypes
from lamina.testing.fake_registry import fake_registry
from lamina.testing.sample_images import descriptor, digest, index, oci_manifest, sample
from lamina.values.reference import Reference

IMAGE = oci_manifest(sample("f a one", names=[]))


@pytest.fixture
def registry():
    with fake_registry() as made:
        yield made


@pytest.fixture
def registries(tmp_path, needs_root):
    environ = {"HOME": str(tmp_path), "CONTAINERS_REGISTRIES_CONF": os.devnull}
    roots = {"run_root": str(tmp_path / "run"), "driver": "vfs", "environ": environ}
    with open_store(str(tmp_path / "root"), **roots) as opened:
        yield opened.registries()


@pytest.fixture
def demo(registry):
    """A function that gives the name of something in the repository `demo`."""
    return lambda rest="": Reference.parse(f"{registry.host}/demo{rest}")


def answering(status, body=b"{}", headers=None):
    return lambda exchange: exchange.answer(status, body, headers) is None


def attached(registry, kind, path="demo", tag=""):
    """Something that refers to `IMAGE`; gives its digest."""
    document = {
        "schemaVersion": 2,
        "mediaType": mediatypes.OCI_MANIFEST,
        "artifactType": kind,
        "config": descriptor("application/vnd.oci.empty.v1+json", b"{}"),
        "layers": [],
        "subject": descriptor(mediatypes.OCI_MANIFEST, IMAGE),
    }
    raw = json.dumps(document).encode()
    return registry.add_manifest(path, tag or digest(raw), raw, mediatypes.OCI_MANIFEST)


@pytest.mark.parametrize("page", [1, 2, 1000])
def test_every_page_of_a_list_is_read(registry, registries, demo, page):
    registry.page = page
    tags = ["one", "two", "three", "v1.0"]
    for tag in tags:
        registry.add_manifest("demo", tag, IMAGE, mediatypes.OCI_MANIFEST)
    registry.add_manifest("deep/er", "1", IMAGE, mediatypes.OCI_MANIFEST)
    assert registries.tags(demo()) == tags
    assert registries.catalog(registry.host) == ["deep/er", "demo"]


@pytest.mark.parametrize(
    ("link", "reason"),
    [
        ("<http://127.0.0.1:1/v2/demo/tags/list>", r"leads to 127\.0\.0\.1:1"),
        ("<//evil.example/x>", r"leads to evil\.example"),
        ("<?again>", "a list without end"),
        ("<file:///etc/passwd>", "leads to 'file:///etc/passwd'"),
    ],
)
def test_a_list_leads_nowhere_else_and_ends(registry, registries, demo, link, reason):
    headers = {"Link": f'{link}; rel="next"'}
    registry.wrong("tags", answering(200, b'{"tags":["a"]}', headers))
    with pytest.raises(RegistryError, match=reason):
        registries.tags(demo())


def test_a_list_that_is_too_long_is_refused(registry, registries, demo):
    many = json.dumps({"tags": [f"t{number}" for number in range(100_001)]}).encode()
    registry.wrong("tags", answering(200, many))
    with pytest.raises(RegistryError, match="a list without end"):
        registries.tags(demo())


def test_what_a_registry_does_not_tell(registry, registries, demo):
    registry.wrong("tags|_catalog", answering(404))
    with pytest.raises(ImageNotFound, match="there is no repository"):
        registries.tags(demo())
    with pytest.raises(RegistryError, match="does not list its repositories"):
        registries.catalog(registry.host)
    with pytest.raises(InvalidReference):
        registries.catalog("no host")


def test_a_digest_goes_with_its_tags_and_a_tag_alone(registry, registries, demo):
    for tag in ("1", "2"):
        registry.add_manifest("demo", tag, IMAGE, mediatypes.OCI_MANIFEST)
    registries.delete(demo(":1"))
    assert registries.tags(demo()) == ["2"]
    with pytest.raises(ImageNotFound, match="has no image :1"):
        registries.delete(demo(":1"))
    registries.delete(demo(f"@{digest(IMAGE)}"))
    assert registry.manifests == {}


@pytest.mark.parametrize("status", [400, 405])
def test_where_tags_are_not_deleted_the_digest_is_told(registry, registries, demo, status):
    registry.add_manifest("demo", "1", IMAGE, mediatypes.OCI_MANIFEST)
    said = json.dumps({"errors": [{"message": "not here"}]}).encode()
    registry.wrong("DELETE", answering(status, said))
    with pytest.raises(RegistryError, match=f"does not delete :1: not here; .*@{digest(IMAGE)}"):
        registries.delete(demo(":1"))
    assert registries.tags(demo()) == ["1"]
    registry.wrong("DELETE", answering(403))
    registry.faults.reverse()
    with pytest.raises(AccessRefused):
        registries.delete(demo(":1"))


def test_what_refers_to_an_image_is_listed(registry, registries, demo):
    registry.add_manifest("demo", "1", IMAGE, mediatypes.OCI_MANIFEST)
    signature = attached(registry, "application/signature")
    sbom = attached(registry, "application/sbom")
    for name in (demo(":1"), demo(f"@{digest(IMAGE)}")):
        found = registries.referrers(name)
        assert {each.digest: each.artifact_type for each in found} == {
            signature: "application/signature",
            sbom: "application/sbom",
        }
    assert [each.digest for each in registries.referrers(demo(":1"), "application/sbom")] == [sbom]
    assert registries.referrers(demo(f"@{sbom}")) == []


def test_a_tag_stands_for_a_list_that_is_not_there(registry, registries, demo):
    registry.add_manifest("demo", "1", IMAGE, mediatypes.OCI_MANIFEST)
    registry.wrong("referrers", answering(404))
    assert registries.referrers(demo(":1")) == []
    about = descriptor(mediatypes.OCI_MANIFEST, b"some", artifactType="application/sbom")
    tag = digest(IMAGE).replace(":", "-")
    registry.add_manifest("demo", tag, index(about), mediatypes.OCI_INDEX)
    (found,) = registries.referrers(demo(":1"))
    assert (found.digest, found.artifact_type) == (digest(b"some"), "application/sbom")


def test_a_list_of_referrers_that_is_none(registry, registries, demo):
    registry.add_manifest("demo", "1", IMAGE, mediatypes.OCI_MANIFEST)
    registry.wrong("referrers", answering(200, IMAGE))
    with pytest.raises(BadDocument):
        registries.referrers(demo(":1"))


def test_types_are_shown_without_what_moves_a_cursor(registry, tmp_path, needs_root, capsys):
    registry.add_manifest("demo", "1", IMAGE, mediatypes.OCI_MANIFEST)
    attached(registry, "a\x1b[2Jb")
    root = ["--root", str(tmp_path / "root"), "--run-root", str(tmp_path / "run"), "-s", "vfs"]
    assert main([*root, "registry", "referrers", f"{registry.host}/demo:1"]) == 0
    head, row = capsys.readouterr().out.splitlines()
    assert head.split() == ["DIGEST", "TYPE"]
    assert row.endswith("   a?[2Jb")
    assert main([*root, "registry"]) == 1
    assert "there are catalog, delete, referrers, tags" in capsys.readouterr().err
    assert main([*root, "registry", "delete", f"{registry.host}/demo"]) == 1
    assert "give its tag or its digest" in capsys.readouterr().err
