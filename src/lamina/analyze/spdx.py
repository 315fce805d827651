"""An image's packages as an SPDX 2.3 document in JSON. Pure: equal images give equal bytes.

It says what package managers say, and nothing of licences or of files without a package.
https://spdx.github.io/spdx-spec/v2.3/
"""

import hashlib
import json
import re
from collections.abc import Iterable
from urllib.parse import quote

from lamina.analyze.packages import Package
from lamina.spec.imageconfig import ImageConfig, format_time
from lamina.spec.strictjson import Json

_NOBODY_SAID = "NOASSERTION"
_ROOT = "SPDXRef-Image"
_TYPES = {"deb": "deb", "apk": "apk", "rpm": "rpm", "pip": "pypi"}  # of package URLs
_PLAIN = re.compile(r"[^A-Za-z0-9.-]+")


def document(
    name: str, config: ImageConfig, packages: Iterable[Package], distribution: str, tool: str
) -> bytes:
    """The document; `distribution` is os-release's ID ("" where unknown), `tool` who made it.

    Its time is the image's, its namespace made of the image's ID and the tool.
    """
    found = sorted(set(packages))
    digits = config.id.partition(":")[2]
    listed = [_package(each, distribution) for each in found]
    whole: dict[str, Json] = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": name,
        "documentNamespace": f"https://spdx.org/spdxdocs/{quote(tool, safe='')}-{digits}",
        "creationInfo": {
            "created": format_time(int(config.created_at)),
            "creators": [f"Tool: {tool}"],
        },
        "packages": [_image(name, config, digits), *listed],
        "relationships": [
            _relation("SPDXRef-DOCUMENT", "DESCRIBES", _ROOT),
            *(_relation(_ROOT, "CONTAINS", str(each["SPDXID"])) for each in listed),
        ],
    }
    return (json.dumps(whole, indent=2, ensure_ascii=False) + "\n").encode()


def _relation(one: str, kind: str, other: str) -> Json:
    return {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}


def _unsaid(identity: str, name: str, version: str) -> dict[str, Json]:
    """What every package must say, most of it that nobody said it."""
    return {
        "SPDXID": identity,
        "name": name,
        **({"versionInfo": version} if version else {}),
        "downloadLocation": _NOBODY_SAID,
        "filesAnalyzed": False,
        "licenseConcluded": _NOBODY_SAID,
        "licenseDeclared": _NOBODY_SAID,
        "copyrightText": _NOBODY_SAID,
    }


def _image(name: str, config: ImageConfig, digits: str) -> Json:
    return {
        **_unsaid(_ROOT, name, config.id),
        "primaryPackagePurpose": "CONTAINER",
        "checksums": [{"algorithm": "SHA256", "checksumValue": digits}],
    }


def _package(package: Package, distribution: str) -> dict[str, Json]:
    words = "\0".join(package)
    short = hashlib.sha256(words.encode()).hexdigest()[:16]
    identity = f"SPDXRef-Package-{package.manager}-{_PLAIN.sub('-', package.name)}-{short}"
    reference: Json = {
        "referenceCategory": "PACKAGE-MANAGER",
        "referenceType": "purl",
        "referenceLocator": package_url(package, distribution),
    }
    return {**_unsaid(identity, package.name, package.version), "externalRefs": [reference]}


def package_url(package: Package, distribution: str) -> str:
    """https://github.com/package-url/purl-spec"""
    kind, version = _TYPES[package.manager], package.version
    epoch, colon, rest = version.partition(":")
    qualifiers = [("arch", package.architecture)]
    if kind == "rpm" and colon:
        version = rest
        qualifiers.append(("epoch", epoch))
    said = "&".join(f"{key}={quote(value, safe='')}" for key, value in qualifiers if value)
    parts = [f"pkg:{kind}", *([distribution] if distribution and kind != "pypi" else [])]
    place = "/".join([*parts, quote(package.name, safe="")])
    at = f"@{quote(version, safe=':')}" if version else ""
    return f"{place}{at}?{said}" if said else f"{place}{at}"


def distribution_of(release: bytes) -> str:
    """The ID that an os-release file says; "" for none."""
    found = re.search(rb"(?m)^ID=[\"']?([a-z0-9._-]{1,64})[\"']?\s*$", release[: 1 << 16])
    return found[1].decode() if found is not None else ""
