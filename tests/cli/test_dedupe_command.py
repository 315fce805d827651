"""`lamina dedupe`: equal files of different layers on the same blocks, and nothing else changes."""

import os
import random

import pytest

from lamina.kernel.ioctl import dedupe_range, first_block
from lamina.testing.sample_images import as_tar, classic, sample
from tests.cli.rig import Lamina, assert_complaint, tree
from tests.conftest import loop_mounted

pytestmark = [pytest.mark.usefixtures("needs_root", "needs_mounts"), pytest.mark.matrix]
SAME = "".join(random.Random(3).choices("abcdefgh", k=300_000))
OTHER = SAME[:-1] + "-"


@pytest.fixture(params=["mkfs.xfs", "mkfs.btrfs"])
def disk(request, needs_program):
    needs_program(request.param)
    with loop_mounted([request.param, "-q"], "400M") as place:
        yield place


def loaded(folder, driver="overlay2"):
    made = Lamina(folder, driver)
    layers = (
        f"f a {SAME} 600 1:2\nf small x",
        f"f d/b {SAME} 644\nf other {OTHER}",
        f"f a {SAME} 640",
    )
    made.ok("load", "-q", stdin=as_tar(classic(sample(*layers, names=["app:1"]))))
    return made


def facts(lamina):
    """Every file below the driver's home, with all that a layer keeps of it, and its bytes."""
    found = {}
    for path in tree(f"{lamina.root}/{lamina.driver}"):
        if os.path.isfile(path) and not os.path.islink(path):
            status = os.stat(path)
            with open(path, "rb") as file:
                found[path] = (status.st_mode, status.st_uid, status.st_mtime_ns, file.read())
    return found


def blocks(paths):
    where = set()
    for path in paths:
        with open(path, "rb") as file:
            where.add(first_block(file.fileno()))
    return where


@pytest.mark.parametrize("driver", ["overlay2", "vfs"])
def test_equal_files_share_blocks_and_stay_as_they_are(disk, driver):
    lamina = loaded(disk, driver)
    before = facts(lamina)
    saved = lamina.ok("save", "app:1")
    assert lamina.ok("dedupe") == "2 files share 600kB now; 0 did before\n"
    assert facts(lamina) == before
    same = [path for path, (*_, content) in before.items() if content == SAME.encode()]
    assert driver == "vfs" or len(blocks(same)) == 1  # vfs has copies of all below as well
    assert lamina.ok("dedupe") == "0 files share 0B now; 2 did before\n"
    assert lamina.ok("save", "app:1") == saved
    assert lamina.ok("check", "--full") == "clean\n"


def test_where_it_cannot_be_done_it_says_so(tmp_path):
    with loop_mounted(["mkfs.ext4", "-q"], "64M") as place:
        lamina = loaded(place)
        assert_complaint(lamina("dedupe"), "overlay2 cannot share blocks here")


def test_the_kernel_shares_only_what_is_equal(disk):
    for name, content in (("one", SAME), ("two", OTHER), ("three", SAME)):
        with open(f"{disk}/{name}", "w") as file:
            file.write(content)
            os.fsync(file.fileno())
    files = [os.open(f"{disk}/{name}", os.O_RDONLY) for name in ("one", "two", "three")]
    assert dedupe_range(files[0], files[1], 0, len(SAME)) == 0
    assert dedupe_range(files[0], files[2], 0, len(SAME)) == len(SAME)
    one, two, three = map(first_block, files)
    assert one == three != two
    for each in files:
        os.close(each)
