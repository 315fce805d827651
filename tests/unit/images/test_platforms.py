"""Which of several platforms is taken, by containerd's order."""

import pytest

from lamina.errors import BadDocument
from lamina.images.platforms import best
from lamina.spec.manifest import Descriptor, Index
from lamina.values.digest import BlobDigest
from lamina.values.platform import Platform

HOST = Platform("linux", "amd64")
DIGEST = BlobDigest("sha256:" + "0" * 64)


def chosen(wanted, *there):
    """The best of the platforms that an index has, as text."""
    found = []
    for text in there:
        parts = (*text.split("/"), "", "")[:3] if text else ("", "", "")
        found.append(Descriptor("", DIGEST, 1, {}, parts))
    platform = Platform.parse(wanted, host=HOST)
    return "/".join(filter(None, best(Index(b"", "", tuple(found)), platform, "x").platform))


@pytest.mark.parametrize(
    ("wanted", "order"),
    [
        ("linux/amd64", ["linux/amd64", "linux/386", "linux/amd64/v2"]),
        (
            "linux/amd64/v3",
            ["linux/amd64/v3", "linux/amd64/v2", "linux/amd64", "linux/386", "linux/amd64/v4"],
        ),
        ("linux/386", ["linux/386"]),
        ("linux/arm/v7", ["linux/arm/v7", "linux/arm/v6", "linux/arm/v5", "linux/arm/v8"]),
        ("linux/arm", ["linux/arm/v7", "linux/arm/v6", "linux/arm/v5"]),
        ("linux/arm/v5", ["linux/arm/v5", "linux/arm/v6"]),
        (
            "linux/arm64",
            ["linux/arm64", "linux/arm/v8", "linux/arm/v7", "linux/arm/v6", "linux/arm/v5"],
        ),
        (
            "linux/arm64/v9.1",
            [
                *("linux/arm64/v9.1", "linux/arm64/v9", "linux/arm64/v8.6", "linux/arm64/v8.1"),
                *("linux/arm64/v8", "linux/arm/v8", "linux/arm/v7"),
            ],
        ),
        ("linux/riscv64", ["linux/riscv64"]),
    ],
)
def test_the_order_is_containerds(wanted, order):
    others = ["windows/amd64", "linux/s390x", "darwin/arm64"]
    for first in range(len(order)):
        assert chosen(wanted, *others, *reversed(order[first:])) == order[first]
    with pytest.raises(BadDocument, match=r"no image for .*; it has darwin/arm64, "):
        chosen(wanted, *others)


def test_what_says_nothing_is_taken_after_what_fits():
    assert chosen("linux/amd64", "", "linux/386") == "linux/386"
    assert chosen("linux/amd64", "", "linux/s390x") == ""


def test_a_variant_that_nobody_knows_is_only_itself():
    assert chosen("linux/arm64/v7", "linux/arm64/v7", "linux/mips") == "linux/arm64/v7"
    with pytest.raises(BadDocument):
        chosen("linux/arm/v9", "linux/mips", "linux/386")
