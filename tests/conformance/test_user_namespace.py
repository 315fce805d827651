"""The suite on what a user namespace allows: the tests themselves run inside of one.

There overlayfs reads `user.overlay.*` (userxattr), and no device but a whiteout can be made.
"""

import os
import sys

import pytest

from lamina.testing import userns

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")
SUITES = {"overlay2": "TestOverlay2", "fuse-overlayfs": "TestFuseOverlayfs", "vfs": "TestVfs"}


@pytest.mark.parametrize("driver", sorted(SUITES))
def test_the_whole_suite_is_green_there(driver, site):
    own = ["-p", "no:xdist", "--basetemp", os.path.join(site(driver), "inside")]
    suite = os.path.join(os.path.dirname(__file__), "test_drivers.py")
    command = [sys.executable, "-m", "pytest", "-q", *own, f"{suite}::{SUITES[driver]}"]
    said = userns.run(command, env={**os.environ, "PYTHONPATH": ":".join(sys.path)})
    assert said.code == 0, said
    assert " passed" in said.out
    assert "skipped" not in said.out
