"""OCI layouts as whoever reads the specification finds them: no code of Lamina's reads them here."""

import hashlib
import json
from typing import Any


def blob(path: str, digest: str) -> bytes:
    """A blob's bytes, which must have its digest."""
    name = digest.partition(":")[2]
    with open(f"{path}/blobs/sha256/{name}", "rb") as file:
        data = file.read()
    assert hashlib.sha256(data).hexdigest() == name
    return data


def document(path: str, descriptor: dict[str, Any]) -> Any:
    """The document that a descriptor names, of its size."""
    data = blob(path, descriptor["digest"])
    assert len(data) == descriptor["size"]
    return json.loads(data)


def top(path: str) -> Any:
    """The descriptor in index.json, the first of several that name one document."""
    with open(f"{path}/index.json") as file:
        found = json.load(file)["manifests"]
    assert len({each["digest"] for each in found}) == 1
    return found[0]


def said(path: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Each image of the one index with what is said of it: statements by their predicates' types."""
    listed = document(path, top(path))["manifests"]
    about = {}
    for each in listed:
        notes = each.get("annotations", {})
        if notes.get("vnd.docker.reference.type") == "attestation-manifest":
            assert each["platform"] == {"architecture": "unknown", "os": "unknown"}
            about[notes["vnd.docker.reference.digest"]] = _statements(path, each)
    images = [each for each in listed if each["platform"]["os"] != "unknown"]
    assert sorted(about) == sorted(each["digest"] for each in images)
    return [(each, about[each["digest"]]) for each in images]


def _statements(path: str, descriptor: dict[str, Any]) -> dict[str, Any]:
    manifest = document(path, descriptor)
    config = document(path, manifest["config"])
    assert config["rootfs"]["diff_ids"] == [each["digest"] for each in manifest["layers"]]
    found = {}
    for each in manifest["layers"]:
        assert each["mediaType"] == "application/vnd.in-toto+json"
        statement = document(path, each)
        assert statement["_type"] == "https://in-toto.io/Statement/v1"
        kind = statement["predicateType"]
        assert each["annotations"] == {"in-toto.io/predicate-type": kind}
        found[kind] = statement
    return found
