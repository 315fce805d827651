"""Images as package URLs: the spellings that BuildKit has for the same names."""

import pytest

from lamina.spec.packageurl import of_image
from lamina.values.platform import Platform
from lamina.values.reference import Reference

DIGEST = "sha256:" + "0a" * 32


@pytest.mark.parametrize(
    ("name", "platform", "wanted"),
    [
        ("alpine", None, "alpine@latest"),
        ("library/alpine:3.15", None, "alpine@3.15"),
        ("docker.io/library/alpine:latest", None, "alpine@latest"),
        (f"alpine:latest@{DIGEST}", None, f"alpine@latest?digest={DIGEST}"),
        (f"docker.io/library/alpine@{DIGEST}", None, f"alpine?digest={DIGEST}"),
        ("user/test:v2", None, "user/test@v2"),
        ("ghcr.io/foo/bar", None, "ghcr.io/foo/bar@latest"),
        ("localhost:5000/a:1", None, "localhost%3A5000/a@1"),
        ("busybox", Platform("linux", "arm64", "v8"), "busybox@latest?platform=linux%2Farm64"),
        (
            f"busybox@{DIGEST}",
            Platform("linux", "arm", "v7"),
            f"busybox?digest={DIGEST}&platform=linux%2Farm%2Fv7",
        ),
    ],
)
def test_names(name, platform, wanted):
    assert of_image(Reference.parse(name), platform) == f"pkg:docker/{wanted}"
