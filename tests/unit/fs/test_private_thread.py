import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lamina.fs.mounting import (
    Bind,
    MountPlan,
    Overlay,
    attach,
    in_private_namespace,
    on_private_thread,
)
from lamina.kernel.mountinfo import mounts


def _self() -> tuple[str, str, str, bytes]:
    with open("/proc/thread-self/mountinfo", "rb") as file:
        table = file.read()
    here = "/proc/thread-self"
    return os.readlink(f"{here}/ns/mnt"), os.readlink(f"{here}/cwd"), os.getcwd(), table


@pytest.fixture
def union(memory):
    tmp_path = Path(memory)
    for name in ("lower", "upper", "work", "target"):
        (tmp_path / name).mkdir()
    (tmp_path / "lower" / "there").write_text("below")
    at = str(tmp_path)
    return (
        MountPlan(Overlay((f"{at}/lower",), f"{at}/upper", f"{at}/work", ())),
        f"{at}/target",
    )


def test_the_callers_thread_is_as_it_was(union, needs_mounts):
    plan, target = union
    before = _self()

    def work():
        attach(plan, target)
        os.chdir(target)
        os.umask(os.umask(0o22))
        return _self(), os.listdir(target)

    (namespace, cwd, _, _), names = in_private_namespace(work)
    assert names == ["there"]
    assert namespace != before[0]
    assert cwd == target
    assert _self() == before
    assert os.listdir(target) == []


def test_a_child_process_sees_the_mount_and_keeps_it_for_itself(union, needs_mounts):
    plan, target = union
    reader, writer = os.pipe()

    def work():
        attach(plan, target)
        return os.posix_spawn(
            "/bin/sh",
            ["sh", "-c", f"cat {target}/there; echo new > {target}/made"],
            os.environ,
            file_actions=[(os.POSIX_SPAWN_DUP2, writer, 1)],
        )

    child = in_private_namespace(work)
    os.close(writer)
    assert os.waitpid(child, 0)[1] == 0
    assert os.read(reader, 100) == b"below"
    os.close(reader)
    assert os.listdir(target) == []
    assert os.listdir(plan.root.upper) == ["made"]


def test_the_works_own_exception_arrives(needs_mounts):
    def work():
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        in_private_namespace(work)


def test_what_is_mounted_is_private_even_where_the_host_shares_its_mounts(tmp_path, needs_mounts):
    """systemd makes `/` shared: a new namespace would then pass its mounts back."""
    script = f"""
import os, sys
from lamina.fs.mounting import Bind, MountPlan, attach, in_private_namespace
from lamina.kernel import mount
def shared():
    mount.mount("none", "/", "", mount.MS_REC | 1 << 20)  # MS_SHARED
    before = open("/proc/thread-self/mountinfo").read()
    in_private_namespace(lambda: attach(MountPlan(Bind("/usr", True)), {str(tmp_path)!r}))
    assert open("/proc/thread-self/mountinfo").read() == before
in_private_namespace(shared)
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_nothing_stays_mounted_after_kill_nine(union, needs_mounts):
    plan, target = union
    script = f"""
import os, signal
from lamina.fs.mounting import MountPlan, Overlay, attach, in_private_namespace
def work():
    attach(MountPlan(Overlay({plan.root.lowers!r}, {plan.root.upper!r}, {plan.root.work!r}, ())),
           {target!r})
    child = os.posix_spawn("/bin/cat", ["cat"], os.environ)
    print(child, flush=True)
    os.waitpid(child, 0)
in_private_namespace(work)
"""
    engine = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert engine.stdin is not None
    assert engine.stdout is not None
    child = int(engine.stdout.readline())
    engine.stdout.close()
    with open(f"/proc/{child}/mountinfo", "rb") as table:
        assert target.encode() in table.read()
    engine.send_signal(signal.SIGKILL)
    engine.wait()
    engine.stdin.close()  # the child reads its end, and is the last in the namespace
    _wait_until_gone(child)
    assert target.encode() not in b"".join(entry.target for entry in mounts())
    _usable_again(plan, target)


def _wait_until_gone(pid: int) -> None:
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    select.select([process], [], [], 10)
    os.close(process)


def _usable_again(plan: MountPlan, target: str) -> None:
    def work():
        attach(plan, target)
        return os.listdir(target)

    assert in_private_namespace(work) == ["there"]


def test_a_bind_may_be_read_only(tmp_path, needs_mounts):
    source = tmp_path / "source"
    target = tmp_path / "target"
    source.mkdir()
    target.mkdir()

    def write() -> None:
        attach(MountPlan(Bind(str(source), True)), str(target))
        (target / "file").touch()

    with pytest.raises(OSError, match="Read-only file system"):
        in_private_namespace(write)


def test_an_interrupt_waits_for_the_work_to_end():
    """Else the caller would clear away what the work still uses."""
    script = """
import os, signal
from lamina.fs.mounting import on_private_thread
def work():
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(100):
        os.stat("/")
    print("ended", flush=True)
try:
    on_private_thread(work)
except KeyboardInterrupt:
    print("interrupted")
"""
    done = subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, text=True
    )
    assert done.stdout == "ended\ninterrupted\n", done.stderr


def test_what_an_interrupt_keeps_from_its_caller_is_handed_over():
    script = """
import os, signal
from lamina.fs.mounting import on_private_thread
def work():
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(100):
        os.stat("/")
    return "made"
try:
    print("given", on_private_thread(work, lambda made: print("lost", made)))
except KeyboardInterrupt:
    print("interrupted")
"""
    done = subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, text=True
    )
    assert done.stdout == "lost made\ninterrupted\n", done.stderr


def test_a_private_thread_gives_its_result():
    assert on_private_thread(lambda: 7) == 7
