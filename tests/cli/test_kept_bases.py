"""Where the bytes are, when a layer stands on an earlier version of itself (docs/adr/0020)."""

import json
import os

import pytest

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")

COUNT, SIZE = 1000, 100


@pytest.fixture
def versions(lamina):
    """Images `v:1` and `v:2`: a copy of a thousand files, and of those with one changed."""
    lamina.driver = "overlay2"
    folder = os.path.join(lamina.folder, "context")
    os.mkdir(folder)
    for number in range(COUNT):
        with open(f"{folder}/{number}", "w") as file:
            file.write(f"{number}".rjust(SIZE))
    path = lamina.write("Dockerfile", "FROM scratch\nCOPY . /d\n")
    for name in ("v:1", "v:2"):
        lamina.ok("build", "-q", "-f", path, "-t", name, folder)
        with open(f"{folder}/7", "w") as file:
            file.write("other")
    return lamina


def images(lamina):
    """What `df` says of images: all of it, and what could go."""
    rows = lamina.ok("df", "--format", "{{.Type}} {{.Size}} {{.Reclaimable}}").splitlines()
    return next(row for row in rows if row.startswith("Images "))


def test_what_two_versions_have_in_common_is_counted_once(versions):
    assert images(versions) == "Images 100kB 100kB (100%)"
    rows = versions.ok("df", "-v").splitlines()
    assert [row.split()[3:5] for row in rows if row.startswith("v:")] == [
        ["100kB", "5B"],
        ["100kB", "0B"],
    ]
    tree = json.loads(versions.ok("tree", "--format", "json"))
    assert tree["BytesAsked"] == 2 * COUNT * SIZE - SIZE + 5
    assert tree["BytesStored"] == COUNT * SIZE + 5
    assert "100kB instead of 200kB" in versions.ok("tree")


def test_what_is_kept_for_an_image_counts_for_it(versions):
    """No prune gives it back, so none is promised."""
    versions.ok("rmi", "v:1")
    assert images(versions) == "Images 100kB 100kB (100%)"
    assert versions.ok("builder", "prune", "-f").endswith("reclaimed space: 0B\n")
    assert "100kB instead of 99.9kB, 0B (0 %) saved" in versions.ok("tree")
    versions.ok("rmi", "v:2")
    assert images(versions) == "Images 0B 0B"
    assert os.listdir(f"{versions.root}/index") == []
