"""EROFS images as mounts: shared by all their users, by files or loop devices, by name or not."""

import io
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lamina.archive.erofs.layer import write_layer
from lamina.archive.reader import read
from lamina.errors import StorageError
from lamina.fs import mounting
from lamina.fs.erofs import FILES, LOOPS, Erofs, Shared, mount_image, open_images
from lamina.fs.locks import FileLock, Rank
from lamina.fs.mounting import (
    MountPlan,
    Stacked,
    attach,
    in_private_namespace,
    open_detached,
    open_trees,
)
from lamina.fs.overlay import NAMES
from lamina.fs.shared import dissolve, drop, hold_path
from lamina.kernel import loop
from lamina.kernel.mountinfo import mounts
from lamina.testing.trees import describe, tar_of

pytestmark = pytest.mark.usefixtures("needs_root", "needs_erofs")


def image(folder: Path, name: str, text: str) -> Erofs:
    """A layer of its own, to be shared at `<folder>/shared`."""
    path = folder / name
    (path / "tree").mkdir(parents=True)
    write_layer(str(path), read(io.BytesIO(tar_of(text))), None, None)
    return Erofs(
        f"{path}/layer.erofs",
        (f"{path}/layer.tar",),
        f"{path}/tree",
        Shared(f"{folder}/shared", f"{name}.1"),
    )


@pytest.fixture
def step(tmp_path: Path) -> Iterator[Erofs]:
    yield image(tmp_path, "one", "d d\nf d/a text")
    dissolve(f"{tmp_path}/shared")


def devices(*descriptors: int) -> set[int]:
    """The devices that the mounts behind some descriptors show: one a super block."""
    found = {os.stat(f"/proc/self/fd/{each}/.").st_dev for each in descriptors}
    for each in descriptors:
        os.close(each)
    return found


def lines(folder: Path) -> list[bytes]:
    """What the mount table of this process has beneath a folder."""
    return [entry.target for entry in mounts() if entry.target.startswith(os.fsencode(folder))]


def test_all_users_share_one_super_block(step: Erofs) -> None:
    assert len(devices(*open_images([step]), *open_images([step]))) == 1
    alone = step._replace(shared=None)
    assert len(devices(*open_images([alone]), *open_images([alone]))) == 2


def test_a_user_in_a_namespace_of_its_own_shares_it_too(step: Erofs) -> None:
    first = open_images([step])
    second = in_private_namespace(lambda: open_images([step]))
    assert len(devices(*first, *second)) == 1


def test_another_process_shares_it(step: Erofs) -> None:
    (mine,) = open_images([step])
    script = (
        "import os, sys\nfrom lamina.fs.erofs import *\n"
        "step = eval(sys.argv[1])\n"
        "(got,) = open_images([step])\nprint(os.stat(f'/proc/self/fd/{got}/.').st_dev)"
    )
    said = subprocess.run(
        [sys.executable, "-c", script, repr(step)], capture_output=True, text=True, check=True
    )
    assert {int(said.stdout)} == devices(mine)


def test_the_mount_table_has_two_lines_and_in_the_end_none(step: Erofs, tmp_path: Path) -> None:
    more = [image(tmp_path, f"n{number}", f"f a {number}") for number in range(5)]
    devices(*open_images([step, *more]))
    shared = os.fsencode(tmp_path / "shared")
    assert lines(tmp_path) == [shared, shared + b"/ns"]
    dissolve(f"{tmp_path}/shared")
    assert lines(tmp_path) == []
    dissolve(f"{tmp_path}/shared")


def test_who_holds_keeps_it_and_who_died_does_not(step: Erofs, tmp_path: Path) -> None:
    devices(*open_images([step]))
    folder = f"{tmp_path}/shared"
    script = (
        "import sys, time\nfrom lamina.fs.locks import *\n"
        "FileLock(sys.argv[1], Rank.LEASE).acquire(shared=True)\nprint('held', flush=True)\n"
        "sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, hold_path(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        dissolve(folder)
        assert len(lines(tmp_path)) == 2
        holder.send_signal(signal.SIGKILL)
    dissolve(folder)
    assert lines(tmp_path) == []


def test_a_borrowed_mount_outlives_the_end_of_the_sharing(step: Erofs, tmp_path: Path) -> None:
    (mine,) = open_images([step])
    dissolve(f"{tmp_path}/shared")
    assert describe(f"/proc/self/fd/{mine}/.") == ["d d 755 0:0", "f d/a text 644 0:0"]
    os.close(mine)


def test_what_a_kill_left_of_the_making_is_used_again(step: Erofs, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "ns").touch()  # killed before the namespace was kept
    assert len(devices(*open_images([step]), *open_images([step]))) == 1
    dissolve(str(shared))
    assert lines(tmp_path) == []


@pytest.mark.parametrize("born", sorted(os.sched_getaffinity(0)))
def test_a_namespace_made_on_any_cpu_shares(born: int, tmp_path: Path, needs_mounts: None) -> None:
    """Namespaces are numbered by CPU, and the kernel lets none keep one of a smaller number."""
    code = f"""
import os
from lamina.fs.private import enter_private_namespace
from lamina.fs.shared import dissolve, refusal
os.sched_setaffinity(0, {{{born}}})
enter_private_namespace()
for cpu in {sorted(os.sched_getaffinity(0))}:
    os.sched_setaffinity(0, {{cpu}})
    print(cpu, refusal({f"{tmp_path}/shared"!r}) or "shared")
    dissolve({f"{tmp_path}/shared"!r})
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    said = [line.partition(" ")[2] for line in done.stdout.splitlines()]
    assert said == ["shared"] * len(os.sched_getaffinity(0))


def test_a_dropped_mount_holds_no_bytes(file_system: Callable[..., str], tmp_path: Path) -> None:
    """What is removed is free at once, and the disk can be unmounted."""
    disk = Path(file_system("64M", "mkfs.ext4", "-q"))
    step = image(disk, "one", "f a x")
    with open(step.devices[0], "r+b") as file:
        file.write(b"x" * 3_000_000)
    step = step._replace(shared=Shared(f"{tmp_path}/shared", "one.1"))
    devices(*open_images([step]))
    drop(f"{tmp_path}/shared", "one")
    before = os.statvfs(disk).f_bfree
    os.unlink(step.devices[0])
    assert (os.statvfs(disk).f_bfree - before) * os.statvfs(disk).f_frsize >= 3_000_000
    dissolve(f"{tmp_path}/shared")


def test_another_file_of_the_same_name_is_another_mount(step: Erofs, tmp_path: Path) -> None:
    devices(*open_images([step]))
    other = image(tmp_path, "two", "f b other")
    other = other._replace(shared=Shared(f"{tmp_path}/shared", "one.2"))
    with_roots = open_trees((other,))
    assert os.listdir(with_roots[0]) == ["b"]
    os.close(with_roots[0])


def test_without_namespaces_each_mounts_for_itself(
    step: Erofs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_flags: int) -> None:
        raise PermissionError(1, "unshare: Operation not permitted")

    monkeypatch.setattr("lamina.fs.shared.unshare", refused)
    assert len(devices(*open_images([step]), *open_images([step]))) == 2


# --- by files, by loop devices ----------------------------------------------------------------


def test_a_disk_takes_files_and_tmpfs_loop_devices(tmp_path: Path, memory: Path) -> None:
    for folder, way in ((tmp_path, FILES), (memory, LOOPS)):
        step = image(folder, "a", "f a " + "y" * 70_000)
        mounted = mount_image(step.image, step.devices)
        assert mounted.way == way
        assert describe(f"/proc/self/fd/{mounted.descriptor}/.")[0].startswith("f a yyy")
        os.close(mounted.descriptor)


def test_loop_devices_go_with_their_mount(memory: Path) -> None:
    step = image(memory, "a", "f a x")
    descriptor = mount_image(step.image, step.devices).descriptor
    assert len(attached(memory)) == 2
    os.close(descriptor)
    assert attached(memory) == []


def attached(folder: Path) -> list[str]:
    """The files beneath a folder that loop devices show."""
    found = []
    for each in os.listdir("/sys/block"):
        try:
            with open(f"/sys/block/{each}/loop/backing_file", encoding="utf-8") as file:
                found.append(file.read().strip())
        except OSError:
            continue
    return [each for each in found if each.startswith(str(folder))]


def test_a_loop_device_that_cannot_be_had_is_named(
    memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = image(memory, "a", "f a x")
    monkeypatch.setattr(loop, "_CONTROL", f"{memory}/none")
    with pytest.raises(OSError, match="none"):
        mount_image(step.image, step.devices)


@pytest.fixture
def memory(needs_mounts: None) -> Iterator[Path]:
    """A folder on tmpfs."""
    made = Path("/dev/shm") / f"lamina-test-{os.getpid()}-{os.urandom(4).hex()}"
    made.mkdir()
    yield made
    subprocess.run(["rm", "-rf", made], check=True)


# --- stacked ----------------------------------------------------------------------------------


def stacked(tmp_path: Path, step: Erofs) -> Stacked:
    for name in ("upper", "work", "target", "lower"):
        (tmp_path / name).mkdir(exist_ok=True)
    (tmp_path / "lower" / "b").write_text("plain")
    return Stacked((step, f"{tmp_path}/lower"), f"{tmp_path}/upper", f"{tmp_path}/work")


def use(plan: MountPlan, target: Path) -> list[str]:
    def work() -> list[str]:
        attach(plan, str(target))
        (target / "d" / "new").write_text("new")
        return describe(str(target))

    return in_private_namespace(work)


WANTED = [
    "f b plain 644 0:0",
    "d d 755 0:0",
    "f d/a text 644 0:0",
    "f d/new new 644 0:0",
]


def test_images_and_directories_below_a_writable_one(step: Erofs, tmp_path: Path) -> None:
    plan = MountPlan(stacked(tmp_path, step), None)
    assert use(plan, tmp_path / "target") == WANTED
    assert (tmp_path / "upper" / "d" / "new").read_text() == "new"
    assert (tmp_path / "target").iterdir()
    opened = open_detached(plan)
    assert describe(f"/proc/self/fd/{opened}/.") == WANTED
    os.close(opened)


def test_a_kernel_that_takes_no_descriptors_is_given_names(
    step: Erofs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before Linux 6.13: the images are attached at their places, in the user's namespace."""
    monkeypatch.setattr(mounting, "DESCRIPTORS", NAMES)  # a name leads into no detached mount
    plan = MountPlan(stacked(tmp_path, step), None)
    assert use(plan, tmp_path / "target") == WANTED
    opened = open_detached(plan)
    assert describe(f"/proc/self/fd/{opened}/.") == WANTED
    os.close(opened)
    assert lines(tmp_path / "one") == []


def test_a_missing_image_is_named(step: Erofs, tmp_path: Path) -> None:
    os.unlink(step.image)
    plan = MountPlan(step, None)
    with pytest.raises(StorageError, match="erofs"):
        in_private_namespace(lambda: attach(plan, str(tmp_path)))


def test_a_long_path_is_no_hindrance(tmp_path: Path) -> None:
    folder = tmp_path
    for number in range(6):
        folder = folder / (f"{number}" * 60)
    folder.mkdir(parents=True)
    step = image(folder, "a", "f a x")._replace(shared=None)
    roots = open_trees((step,))
    assert os.listdir(roots[0]) == ["a"]
    os.close(roots[0])


def test_the_lock_is_last_in_the_order(step: Erofs, tmp_path: Path) -> None:
    with FileLock(f"{tmp_path}/layer", Rank.LAYER).exclusive():
        devices(*open_images([step]))


def test_two_that_are_the_last_at_once(tmp_path: Path) -> None:
    """The one finds done what it was about to do."""
    folder = str(tmp_path)
    (tmp_path / "ns").touch()
    failed: list[OSError] = []

    def last() -> None:
        try:
            dissolve(folder)
        except OSError as error:
            failed.append(error)

    with FileLock(f"{folder}/guard", Rank.MOUNTS).exclusive():
        other = threading.Thread(target=last)
        other.start()
        while not FileLock.is_held(hold_path(folder)):
            os.sched_yield()
        (tmp_path / "ns").unlink()
    other.join()
    assert failed == []
