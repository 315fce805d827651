"""A file system without d_type: overlayfs mounts there, and must not be used; nothing is silent.

The fixture is real: an ext4 made without the feature `filetype`. There an overlay lists names
that were removed, so the driver has to look beyond a mount that succeeds.
"""

import os
import subprocess

import pytest

from lamina.testing.trees import tar_of
from tests.cli.rig import assert_complaint

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")

REASON = "extfs here keeps no d_type in its directory entries"
HINTS = ("`mkfs.xfs -n ftype=1`", "`mkfs.ext4 -O filetype`")


@pytest.fixture
def untyped(lamina, ext4):
    """A store to be, on a file system whose directory entries have no type."""
    lamina.root = f"{ext4(32 << 20, '-O', '^filetype')}/root"
    return lamina


def one_line(text):
    return " ".join(text.split())


def test_a_mount_succeeds_there(untyped):
    place = os.path.dirname(untyped.root)
    for name in ("lower", "upper", "work", "merged"):
        os.mkdir(f"{place}/{name}")
    options = f"lowerdir={place}/lower,upperdir={place}/upper,workdir={place}/work"
    command = ["mount", "-t", "overlay", "overlay", "-o", options, f"{place}/merged"]
    script = '"$@"; grep -q "$0" /proc/self/mountinfo'
    subprocess.run(["unshare", "-m", "sh", "-c", script, f"{place}/merged", *command], check=True)


def test_overlay2_is_refused_with_what_to_do(untyped):
    untyped.driver = "overlay2"
    said = untyped("info")
    assert_complaint(said, "the storage driver overlay2 cannot be used", REASON, *HINTS)
    assert said.out == ""
    assert "overlay2" not in os.listdir(untyped.root)


@pytest.fixture
def without_fuse():
    """A prefix that hides fuse-overlayfs, the next driver after overlay2, behind nothing."""
    found = [f"{folder}/fuse-overlayfs" for folder in ("/usr/bin", "/usr/sbin", "/bin", "/sbin")]
    hide = "; ".join(f"[ ! -e {each} ] || mount --bind /dev/null {each}" for each in found)
    return ("unshare", "-m", "sh", "-c", f'{hide}; exec "$@"', "-")


def test_the_next_driver_is_taken_and_explained(untyped, needs_program):
    needs_program("fuse-overlayfs")
    assert untyped.ok("info", "--format", "{{.Driver}}") == "fuse-overlayfs\n"
    why = one_line(untyped.ok("info", "--why"))
    assert "fuse-overlayfs is used: overlay2: extfs here keeps no d_type" in why
    assert f"overlay2 no recommended {REASON}; make it anew with {HINTS[0]}" in why


def test_falling_back_is_said_and_explained(untyped, without_fuse):
    said = untyped("info", "--format", "{{.Driver}}", prefix=without_fuse)
    assert (said.code, said.out) == (0, "vfs\n")
    assert said.err.count("\n") == 1
    for text in ("falling back to the vfs driver", "overlay2: ", REASON, *HINTS):
        assert text in said.err
    why = one_line(untyped("info", "--why", prefix=without_fuse).out)
    assert "vfs is used: overlay2: extfs here keeps no d_type" in why
    assert "vfs taken last resort" in why


def test_what_falls_back_works_and_is_still_explained(untyped, without_fuse):
    tar = untyped.write("a.tar", tar_of("f a 1"))
    assert untyped("import", tar, "x", prefix=without_fuse).code == 0
    assert untyped.ok("images", "--format", "{{.Repository}}") == "x\n"
    why = one_line(untyped.ok("info", "--why"))
    assert "vfs is used: it has 1 layer already" in why
    assert f"overlay2 no recommended {REASON}; " in why
    untyped.driver = "overlay2"
    assert_complaint(untyped("images"), "has 1 layer on vfs, and overlay2 was asked for")


def test_with_the_feature_it_is_taken(lamina, ext4):
    lamina.root = f"{ext4(32 << 20, '-O', 'filetype')}/root"
    said = lamina("info", "--format", "{{.Driver}}")
    assert said == (0, "overlay2\n", "")
