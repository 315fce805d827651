"""Containers from Python: detached runs, typed results of what is executed, bounds."""

import os
import threading

import pytest

import lamina
from lamina.errors import CommandNotFound, NotRunning, UsageError
from lamina.execution.inside import children

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")


@pytest.fixture
def engine(tmp_path, busybox_tar, needs_program):
    needs_program("crun")
    with lamina.open(str(tmp_path / "root"), run_root=str(tmp_path / "run")) as opened:
        opened.images.import_(busybox_tar, repository="base")
        yield opened
        for each in opened.containers.list(everything=True):
            each.remove(force=True)


@pytest.fixture
def up(engine):
    return engine.containers.run("base", ["sleep", "1000"], detach=True)


def test_a_detached_run_and_its_end(engine):
    container = engine.containers.run(
        "base", ["sh", "-c", "echo a; echo b >&2; exit 3"], detach=True
    )
    assert container.wait() == 3
    lines = [(line.stream, line.data) for line in container.logs()]
    assert sorted(lines) == [("stderr", b"b\n"), ("stdout", b"a\n")]
    container.reload()
    assert (container.status, container.exit_code) == ("exited", 3)
    container.start()
    assert container.wait() == 3


def test_what_is_executed_gives_a_typed_result(up):
    result = up.exec(["sh", "-c", "cat; echo $A >&2; exit 5"], input=b"in", environment={"A": "1"})
    assert result == (5, b"in", b"1\n", False, False)
    assert (result.output, result.errors) == ("in", "1\n")
    with pytest.raises(CommandNotFound):
        up.exec(["no-such"])
    up.stop(timeout=0)
    with pytest.raises(NotRunning):
        up.exec(["true"])


@pytest.mark.parametrize(
    "wanted",
    [
        {"command": ["echo", "a\0b"]},
        {"command": ["echo"], "environment": {"A": "\0b"}},
        {"command": ["echo"], "working_dir": "/a\0b"},
        {"command": ["echo"], "devices": ["/dev/null\0:/dev/x"]},
        {"command": ["echo"], "tmpfs": {"/x\0y": ""}},
    ],
)
def test_a_nul_is_refused(engine, wanted):
    """C's programs would see what stands before it, and not what was looked at."""
    with pytest.raises(UsageError, match="NUL"):
        engine.containers.run("base", **wanted)
    assert engine.containers.list(everything=True) == []


def test_a_nul_is_refused_of_what_is_executed(up):
    for command, more in ((["echo", "a\0b"], {}), (["echo"], {"environment": {"A": "\0"}})):
        with pytest.raises(UsageError, match="NUL"):
            up.exec(command, **more)


def test_output_is_bounded_and_so_is_time(up):
    result = up.exec(["sh", "-c", "yes | head -c 1000000; echo end >&2"], limit=1000)
    assert (len(result.stdout), result.stderr, result.truncated) == (1000, b"end\n", True)
    assert up.exec(["sh", "-c", "printf 1234"], limit=4) == (0, b"1234", b"", False, False)
    result = up.exec(["sh", "-c", "echo begun; sleep 77777 & sleep 77777"], timeout=0.5)
    assert (result.exit_code, result.stdout, result.timed_out) == (137, b"begun\n", True)
    assert "77777" not in up.exec(["ps", "-o", "args"]).output
    assert up.exec(["cat"], input=b"x" * 3_000_000).stdout == b"x" * 3_000_000
    assert up.exec(["true"], input=b"x" * 3_000_000).exit_code == 0


def test_what_it_leaves_running_holds_nobody(up):
    result = up.exec(["sh", "-c", "sleep 1000 & echo done"])
    assert (result.exit_code, result.stdout) == (0, b"done\n")
    result = up.exec(["sh", "-c", "yes & echo done"], limit=100)
    assert result.exit_code == 0


def test_threads_and_descriptors_are_as_before(up):
    up.exec(["true"])
    before = len(os.listdir("/proc/self/fd")), threading.active_count()
    for _ in range(3):
        up.exec(["sh", "-c", "echo x"], input=b"y")
    assert (len(os.listdir("/proc/self/fd")), threading.active_count()) == before


def test_held_still_asked_to_end_and_started_again(up):
    up.pause()
    assert up.status == "paused"
    up.unpause()
    pid = up.pid
    up.restart(timeout=0)
    assert up.pid not in (0, pid)
    up.kill()
    assert up.wait() == 137


def test_one_that_is_removed_at_its_end(engine):
    container = engine.containers.run("base", ["sleep", "1000"], detach=True, remove=True)
    with container.watched() as wait:
        container.kill("TERM")  # deaf, as the first process is
        container.kill()
        assert wait() == 137


def test_one_process_sees_the_same_as_many(up, tmp_path):
    """What the next opener would clear away is not seen, and goes with the container."""
    up.exec(["touch", "/made"])
    assert [each.path for each in up.diff()] == [b"made"]
    up.stop(timeout=0)
    assert [each.path for each in up.diff()] == [b"made"]
    (fork,) = up.fork()
    assert [each.path for each in fork.diff()] == [b"made"]
    up.reset()
    assert up.diff() == []
    (store,) = os.listdir(tmp_path / "run")
    for each in (up, fork):
        each.start()
        each.remove(force=True)
    assert [each for each in os.listdir(tmp_path / "run" / store) if len(each) == 64] == []


def test_no_child_is_left_to_the_caller(engine):
    before = children(os.getpid())
    container = engine.containers.run("base", ["sleep", "1000"], detach=True)
    container.exec(["true"])
    container.stop(timeout=0)
    assert children(os.getpid()) == before
