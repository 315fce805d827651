"""Manifests and indexes: one document, one meaning (CVE-2021-41190), digests checked everywhere."""

import json

import pytest

from lamina.errors import BadDocument
from lamina.spec import manifest, mediatypes
from lamina.spec.manifest import Descriptor, Index, Manifest
from lamina.values.digest import BlobDigest

DIGEST = BlobDigest.of(b"blob")
CONFIG = {"mediaType": mediatypes.OCI_CONFIG, "digest": DIGEST, "size": 7}
LAYER = {"mediaType": mediatypes.OCI_LAYER_GZIP, "digest": DIGEST, "size": 4}
PLATFORM = {"os": "linux", "architecture": "arm64", "variant": "v8"}
ENTRY = {"mediaType": mediatypes.OCI_MANIFEST, "digest": DIGEST, "size": 9, "platform": PLATFORM}
IMAGE = {
    "schemaVersion": 2,
    "mediaType": mediatypes.OCI_MANIFEST,
    "config": CONFIG,
    "layers": [LAYER, LAYER],
    "annotations": {"a": "b"},
}
INDEX = {"schemaVersion": 2, "mediaType": mediatypes.OCI_INDEX, "manifests": [ENTRY]}


def read(document, media_type=""):
    return manifest.parse(json.dumps(document).encode(), media_type)


def without(document, *names):
    return {key: value for key, value in document.items() if key not in names}


@pytest.mark.parametrize("kind", mediatypes.MANIFESTS)
def test_a_manifest(kind):
    found = read({**IMAGE, "mediaType": kind})
    assert isinstance(found, Manifest)
    assert found.media_type == kind
    assert found.config == Descriptor(mediatypes.OCI_CONFIG, DIGEST, 7, {}, ("", "", ""))
    assert [each.size for each in found.layers] == [4, 4]
    assert json.loads(found.raw) == {**IMAGE, "mediaType": kind}


@pytest.mark.parametrize("kind", mediatypes.INDEXES)
def test_an_index(kind):
    found = read({**INDEX, "mediaType": kind})
    assert isinstance(found, Index)
    assert found.manifests[0].platform == ("linux", "arm64", "v8")


def test_without_a_media_type_the_content_or_the_descriptor_tells():
    assert isinstance(read(without(IMAGE, "mediaType")), Manifest)
    assert isinstance(read(without(INDEX, "mediaType")), Index)
    found = read(without(IMAGE, "mediaType"), mediatypes.DOCKER_MANIFEST)
    assert found.media_type == mediatypes.DOCKER_MANIFEST


CONFUSED = {
    "layers and manifests": {**IMAGE, "manifests": [ENTRY]},
    "the same without a type": without({**IMAGE, "manifests": [ENTRY]}, "mediaType"),
    "manifests and layers": {**INDEX, "layers": [LAYER]},
    "manifests and config": {**INDEX, "config": CONFIG},
    "manifests and null layers": {**INDEX, "layers": None},
    "an image called an index": {**IMAGE, "mediaType": mediatypes.OCI_INDEX},
    "an index called an image": {**INDEX, "mediaType": mediatypes.OCI_MANIFEST},
    "schema 1 beside schema 2": {**IMAGE, "fsLayers": [], "history": []},
    "layers in capitals": {**INDEX, "Layers": [LAYER]},
    "config in capitals": {**IMAGE, "CONFIG": CONFIG},
    "two digests": {**IMAGE, "config": {**CONFIG, "Digest": DIGEST}},
}


@pytest.mark.parametrize("name", CONFUSED)
def test_one_document_is_never_two(name):
    with pytest.raises(BadDocument):
        read(CONFUSED[name])


def test_the_type_must_be_the_one_it_was_called():
    with pytest.raises(BadDocument, match="says it is"):
        read(IMAGE, mediatypes.DOCKER_MANIFEST)
    with pytest.raises(BadDocument, match="two documents"):
        read(without(IMAGE, "mediaType"), mediatypes.OCI_INDEX)
    with pytest.raises(BadDocument, match="unknown media type"):
        read(without(IMAGE, "mediaType"), "text/html")
    with pytest.raises(BadDocument, match="unknown media type"):
        read({"mediaType": "application/vnd.docker.distribution.manifest.v1+json", "fsLayers": []})


@pytest.mark.parametrize("version", [1, 3, "2", 2.0, True, -1])
def test_other_schema_versions_are_refused(version):
    for document in (IMAGE, INDEX):
        with pytest.raises(BadDocument):
            read({**document, "schemaVersion": version})


MALFORMED = [
    *("", "sha256", "sha256:", "sha256:xyz", "sha256:" + "A" * 64, "sha256:" + "a" * 63),
    *("sha256:" + "a" * 65, "../../etc/passwd", "sha256:../../../../etc/passwd", "md5:" + "a" * 32),
    *("sha256:" + "a" * 32 + "/../" + "a" * 28, DIGEST + " ", " " + DIGEST, DIGEST.hex),
    *(None, 1, [], {}, ["sha256:" + "a" * 64]),
]


@pytest.mark.parametrize("digest", MALFORMED, ids=repr)
def test_a_malformed_digest_in_any_position(digest):
    """CVE-2024-3727: never a path, never a request elsewhere, never a crash."""
    for document in (
        {**IMAGE, "config": {**CONFIG, "digest": digest}},
        {**IMAGE, "layers": [LAYER, {**LAYER, "digest": digest}]},
        {**INDEX, "manifests": [{**ENTRY, "digest": digest}]},
    ):
        with pytest.raises(BadDocument):
            read(document)


@pytest.mark.parametrize("size", [None, -1, "4", 1.0, True, 1 << 62, [], 10**50], ids=repr)
def test_a_malformed_size_in_any_position(size):
    for document in (
        {**IMAGE, "config": {**CONFIG, "size": size}},
        {**IMAGE, "layers": [{**LAYER, "size": size}]},
        {**INDEX, "manifests": [{**ENTRY, "size": size}]},
    ):
        with pytest.raises(BadDocument):
            read(document)


def read_or_complaint(document):
    try:
        return read(document)
    except BadDocument as error:
        return str(error)


@pytest.mark.parametrize("document", [IMAGE, INDEX], ids=["manifest", "index"])
def test_any_field_may_hold_anything(document):
    for field in document:
        for value in (None, [], {}, "x", 7, True, [None], ["x"], {"x": None}, 10**30):
            found = read_or_complaint({**document, field: value})
            assert isinstance(found, Manifest | Index) or "\n" not in found


def test_nothing_about_an_image_is_optional_but_its_layers():
    with pytest.raises(BadDocument):
        read({})
    with pytest.raises(BadDocument):
        read(without(IMAGE, "config"))
    assert read(without(IMAGE, "layers")).layers == ()
    with pytest.raises(BadDocument, match="3000 layers"):
        read({**IMAGE, "layers": [LAYER] * 3000})


def test_what_is_built_is_what_is_read():
    config = Descriptor(mediatypes.OCI_CONFIG, DIGEST, 7, {}, ("", "", ""))
    layer = Descriptor(mediatypes.OCI_LAYER, DIGEST, 4, {"a": "b"}, ("", "", ""))
    found = manifest.parse(manifest.build(config, (layer, layer)), mediatypes.OCI_MANIFEST)
    assert isinstance(found, Manifest)
    assert (found.config, found.layers) == (config, (layer, layer))


def test_layers_by_their_type():
    for kind in (
        *(mediatypes.OCI_LAYER, mediatypes.OCI_LAYER_GZIP, mediatypes.OCI_LAYER_ZSTD, ""),
        *(mediatypes.DOCKER_LAYER_GZIP, "application/vnd.docker.image.rootfs.diff.tar"),
        "application/vnd.docker.image.rootfs.diff.tar.zstd",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    ):
        assert mediatypes.is_layer(kind), kind
    for kind in (
        *("application/vnd.in-toto+json", "application/json", mediatypes.OCI_CONFIG),
        *(mediatypes.OCI_LAYER_GZIP + "+encrypted", mediatypes.OCI_LAYER + "+encrypted"),
    ):
        assert not mediatypes.is_layer(kind), kind
