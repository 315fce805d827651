"""What the power cut tests do inside the guest (holds no test).

    python -m tests.vm.in_guest work DRIVER,... POINT,...
    python -m tests.vm.in_guest look DRIVER,... POINT,...

Each driver has two disks: one where an import ends as it should, and one with a store for each
named point at which an import is stopped. `work` does that, and then the power goes without a
word to any file system; `look` tells of each store what is found there, on a line of its own.
"""

import json
import os
import signal
import string
import subprocess
import sys

import lamina
from lamina.testing.trees import tar_of
from tests.conftest import SMALL

MARK = "STORE "
ENDED = "ended"
_LETTERS = string.ascii_lowercase
_TREE = "\n".join(f"d d{n}\nf d{n}/file {'x' * n}\nl d{n}/l -> file" for n in range(1, 60))


def main(step: str, drivers: list[str], points: list[str]) -> None:
    """Mount the disks and do the step."""
    for number, driver in enumerate(drivers):
        for place, letter in zip(("ended", "stopped"), _LETTERS[2 * number :], strict=False):
            os.makedirs(f"/mnt/{driver}/{place}")
            subprocess.run(["mount", f"/dev/vd{letter}", f"/mnt/{driver}/{place}"], check=True)
    if step == "work":
        work(drivers, points)
    else:
        look(drivers, points)


def work(drivers: list[str], points: list[str]) -> None:
    """Import on every store, and cut the power; does not come back."""
    with open("/proc/sys/vm/dirty_writeback_centisecs", "w", encoding="ascii") as interval:
        interval.write("0")  # nothing is written for being old: only who asks for it is safe
    with open("/run/image.tar", "wb") as file:
        file.write(tar_of(_TREE))
    for driver in drivers:
        for point in (ENDED, *points):  # all first: making one writes the whole disk
            lamina.open(store(driver, point), driver=driver, storage_opts=options(driver)).close()
    for driver in drivers:
        for point in points:
            stop_at(driver, point)
        commit_journal(f"/mnt/{driver}/stopped")
    for driver in drivers:
        subprocess.run(_import(driver, ENDED), check=True, stdout=subprocess.DEVNULL)
    with open("/proc/sysrq-trigger", "w", encoding="ascii") as trigger:
        trigger.write("b")


def look(drivers: list[str], points: list[str]) -> None:
    """Tell of each store its images, and what a full check finds."""
    for driver in drivers:
        for point in (ENDED, *points):
            with lamina.open(
                store(driver, point), driver=driver, storage_opts=options(driver)
            ) as engine:
                images = [name for image in engine.images.list() for name in image.tags]
                wrong = [str(finding) for finding in engine.system.check(full=True)]
            print(MARK + json.dumps([driver, point, images, wrong]), flush=True)


def store(driver: str, point: str) -> str:
    """Where the store of a driver is in which that happens."""
    return f"/mnt/{driver}/{'ended' if point == ENDED else 'stopped'}/{point}"


def options(driver: str) -> tuple[str, ...]:
    """What a driver is told, so that its disk is large enough."""
    return SMALL if driver == "devicemapper" else ()


def stop_at(driver: str, point: str) -> None:
    """Begin an import and let it stand at a point."""
    child = subprocess.Popen(_import(driver, point), env={**os.environ, "LAMINA_TEST_STOP": point})
    _, status = os.waitpid(child.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status), f"{driver} came past {point}"
    assert os.WSTOPSIG(status) == signal.SIGSTOP


def commit_journal(folder: str) -> None:
    """Let ext4 write its journal, as it does after seconds: names are on disk then, and what
    was appended to other files is not.
    """
    descriptor = os.open(f"{folder}/other", os.O_WRONLY | os.O_CREAT)
    os.write(descriptor, b"x")
    os.fsync(descriptor)
    os.close(descriptor)


def _import(driver: str, point: str) -> list[str]:
    command = [sys.executable, "-m", "lamina", "--root", store(driver, point), "--driver", driver]
    command += [part for each in options(driver) for part in ("--storage-opt", each)]
    return [*command, "import", "/run/image.tar", "image:1"]


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2].split(","), sys.argv[3].split(","))
