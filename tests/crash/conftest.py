"""Where the stores to be killed in lie."""

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator

import pytest

pytest.register_assert_rewrite("tests.crash.crash_victim")

from tests.crash.crash_victim import (  # noqa: E402
    OPERATIONS,
    BtrfsVictim,
    ThinVictim,
    Victim,
    ZfsVictim,
    prepare,
)

_MOUNTED = {"btrfs": BtrfsVictim, "zfs": ZfsVictim, "devicemapper": ThinVictim}


@pytest.fixture
def scratch(needs_root: None) -> Iterator[str]:
    """A folder of its own, in memory where that is possible: a kill is the same there."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="lamina-crash-", dir=memory) as folder:
        yield folder


@pytest.fixture
def victim_of(
    request: pytest.FixtureRequest, scratch: str, site: Callable[[str], str], needs_program
) -> Iterator[Callable[[str, str], Victim]]:
    """A function that prepares a store on a driver for an operation, and begins there."""
    with contextlib.ExitStack() as ending:

        def made(driver: str, name: str) -> Victim:
            ground = site(driver)  # skips where the driver does not work
            if OPERATIONS[name].box:
                needs_program("busybox")
            if driver in _MOUNTED:
                mounted = _MOUNTED[driver](ground if driver == "btrfs" else scratch, driver)
                ending.callback(mounted.end)
                victim: Victim = mounted
            else:  # an image of a file is mounted by loop devices where the file is in memory
                victim = Victim(f"{ground if driver == 'erofs' else scratch}/v", driver)
            ending.callback(victim.run, "images")  # takes down what a failed test leaves mounted
            prepare(victim, OPERATIONS[name]).save_state()
            return victim

        yield made
