"""Lists of an image's packages (SBOMs): which kind a document is, by what it says. Pure."""

import re

SPDX_JSON = "application/spdx+json"
PREDICATES = {
    "https://spdx.dev/Document": SPDX_JSON,
    "https://cyclonedx.org/bom": "application/vnd.cyclonedx+json",
}
"""The media types of what is said in statements of a type (in-toto's predicates)."""
_SIGNS = (
    (re.compile(rb'"spdxVersion"\s*:|"@context"\s*:\s*"https://spdx\.org/'), SPDX_JSON),
    (re.compile(rb'"bomFormat"\s*:\s*"CycloneDX"'), "application/vnd.cyclonedx+json"),
    (
        re.compile(rb"<bom\b[^>]*\bxmlns=[\"']http://cyclonedx\.org/"),
        "application/vnd.cyclonedx+xml",
    ),
    (re.compile(rb"(?m)^SPDXVersion:"), "text/spdx"),
    (re.compile(rb'"schema"\s*:\s*\{[^}]*anchore/syft'), "application/vnd.syft+json"),
)
_NAMES = re.compile(r"spdx|cyclonedx|syft|sbom", re.IGNORECASE)


def media_type(document: bytes) -> str:
    """The media type of an SBOM; "" for what is none of the known kinds."""
    return next((kind for sign, kind in _SIGNS if sign.search(document)), "")


def is_sbom(artifact_type: str) -> bool:
    """Whether something that refers to an image is an SBOM, by its type."""
    return _NAMES.search(artifact_type) is not None
