"""The power goes, in a virtual machine with disks of its own: what was said to be done is there.

The guest's kernel is stopped dead; what it had not written to its disks is lost.
"""

import json
import subprocess
import sys
import tempfile

import pytest

from scripts.apt import Missing
from scripts.vm.guest import Guest
from scripts.vm.kernel import kernel
from tests.conftest import lacking
from tests.vm.in_guest import ENDED, MARK

pytestmark = [pytest.mark.vm, pytest.mark.timeout(900)]  # emulated, and one waits for it all

DRIVERS = ["overlay2", "erofs", "devicemapper"]
POINTS = ["synced", "layer-created", "layer-extracted", "layer-published", "image-blobs"]
_CUT = 125


@pytest.fixture(scope="module")
def stores():
    """What was found of each store once the power was back: its images, and what was wrong."""
    with tempfile.TemporaryDirectory(prefix="lamina-power-") as folder:
        disks = tuple(f"{folder}/disk{number}" for number in range(2 * len(DRIVERS)))
        for disk in disks:
            with open(disk, "wb") as file:
                file.truncate(1 << 30)
            subprocess.run(["mkfs.ext4", "-q", disk], check=True)
        try:
            guest = Guest(kernel(), disks)
        except Missing as error:
            lacking(str(error))
            raise AssertionError from error
        status, text = boot(guest, folder, "work")
        assert status == _CUT, text
        status, text = boot(guest, folder, "look")
        assert status == 0, text
    lines = [line.strip() for line in text.splitlines()]
    found = [json.loads(line.removeprefix(MARK)) for line in lines if line.startswith(MARK)]
    return {(driver, point): (images, wrong) for driver, point, images, wrong in found}


def boot(guest, folder, step):
    command = [sys.executable, "-m", "tests.vm.in_guest", step, ",".join(DRIVERS)]
    with open(f"{folder}/said", "w+b") as said:
        status = guest.run(*command, ",".join(POINTS), output=said.fileno())
        said.seek(0)
        return status, said.read().decode(errors="replace")


@pytest.mark.parametrize("driver", DRIVERS)
def test_what_an_import_that_returned_made_is_whole(stores, driver):
    assert stores[driver, ENDED] == (["image:1"], [])


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("driver", DRIVERS)
def test_a_cut_during_an_import_leaves_nothing_incomplete(stores, driver, point):
    images, wrong = stores[driver, point]
    assert wrong == []
    assert images in ([], ["image:1"])
