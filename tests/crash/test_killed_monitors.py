"""Who starts a detached container, and who keeps it, killed at every named point.

The next command works; nothing runs, is mounted or held; the container is there, and can be
started and removed.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import lamina
from lamina.fs.locks import FileLock

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")
_PATIENCE = 20.0  # seconds; a bound, never a wait
_WORDS = ("run", "-d", "--name", "c1", "box", "sh", "-c", "echo out; echo x >/new")
STARTER = ("rw-created", "container-recorded", "folder-made", "start-noted")
MONITOR = ("monitor-begun", "container-started", "container-ended", "exit-recorded")


class Store:
    def __init__(self, folder, runtime):
        self.root, self.run_root = f"{folder}/root", f"{folder}/run"
        self.env = {
            **os.environ,
            "LAMINA_RUN_ROOT": self.run_root,
            "LAMINA_ISOLATION": runtime,
            "PYTHONPATH": ":".join(sys.path),
        }

    def run(self, *words, crash=""):
        return subprocess.run(
            [sys.executable, "-m", "lamina", "--root", self.root, *words],
            env={**self.env, "LAMINA_TEST_CRASH": crash},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def ok(self, *words):
        done = self.run(*words)
        assert done.returncode == 0, done
        return done.stdout

    def containers(self):
        return self.ok("ps", "-a", "--format", "{{.Names}} {{.State}}").splitlines()

    def await_the_end(self):
        """Until whoever kept the container, and all that it started, are gone."""
        limit = time.monotonic() + _PATIENCE
        while any(FileLock.is_held(path) for path in self._locks()):
            assert time.monotonic() < limit, "something goes on"

    def await_tracer(self, pid):
        """Until somebody traces the process."""
        limit = time.monotonic() + _PATIENCE
        while "TracerPid:\t0\n" in Path(f"/proc/{pid}/status").read_text():
            assert time.monotonic() < limit, "it is not traced"

    def _locks(self):
        for folder in (f"{self.root}/locks/containers", f"{self.root}/locks/layers"):
            if os.path.isdir(folder):
                yield from (f"{folder}/{name}" for name in os.listdir(folder))

    def assert_sound(self):
        self.await_the_end()
        with lamina.open(self.root, run_root=self.run_root) as store:
            assert store.system.check(full=True) == []
            for name in os.listdir(self.run_root):
                rooms = os.listdir(f"{self.run_root}/{name}")
                assert [each for each in rooms if len(each) == 64] == []
        assert os.listdir(f"{self.root}/locks/leases") == []
        known = self.ok("ps", "-aq", "--no-trunc").split()
        assert set(os.listdir(f"{self.root}/containers")) <= set(known)


# The runtime is what is kept, not who keeps it: with the other one the points are tried in full.
@pytest.fixture(params=["crun", pytest.param("runc", marks=pytest.mark.matrix)])
def store(scratch, busybox_tar, request, needs_program):
    needs_program(request.param)
    made = Store(scratch, request.param)
    made.ok("import", busybox_tar, "box")
    yield made
    made.run("rm", "-f", "c1")


@pytest.mark.parametrize("point", [*STARTER, *MONITOR])
def test_killed_at_every_point_of_a_start(store, point):
    done = store.run(*_WORDS, crash=point)
    if point in STARTER:
        assert done.returncode == -9, done
    store.assert_sound()
    if "c1 created" not in store.containers() and "c1 exited" not in store.containers():
        assert store.containers() == [], "not made yet"
        assert point in STARTER[:2]
        return
    codes = {
        "start-noted": 137,
        "container-started": 125,
        "container-ended": 137,
        "exit-recorded": 0,
    }
    if point in codes:
        assert json.loads(store.ok("inspect", "c1"))[0]["State"]["ExitCode"] == codes[point]
    store.ok("start", "c1")
    assert store.ok("wait", "c1") == "0\n"
    assert store.ok("logs", "c1").splitlines()[-1] == "out"
    assert store.ok("diff", "c1") == "A /new\n"
    store.ok("rm", "c1")
    assert os.listdir(f"{store.root}/containers") == []


@pytest.mark.parametrize("point", [*STARTER[1:], *MONITOR])
def test_one_that_is_to_be_removed_is_whatever_is_killed(store, point):
    store.run("run", "-d", "--rm", *_WORDS[2:], crash=point)
    store.await_the_end()
    store.assert_sound()
    assert store.containers() == []
    assert os.listdir(f"{store.root}/containers") == []


@pytest.mark.parametrize("point", ["container-removed", "erased", "folder-erased"])
def test_killed_while_it_is_removed(store, point):
    store.ok(*_WORDS)
    store.ok("wait", "c1")
    assert store.run("rm", "c1", crash=point).returncode == -9
    store.assert_sound()
    assert store.containers() == []
    assert os.listdir(f"{store.root}/containers") == []


_CALLS = ("wait4", "kill", "read", "write", "pwrite64", "poll", "vfork", "clone", "execve", "close")
_MOST = 40  # calls of one name that are tried


@pytest.mark.exhaustive
@pytest.mark.parametrize("brief", [False, True])
@pytest.mark.parametrize("call", _CALLS)
def test_a_monitor_killed_at_every_call_of_an_end(store, scratch, needs_program, call, brief):
    """By strace, attached while the container runs; until it ends before it is killed."""
    needs_program("strace")
    log = f"{scratch}/calls"
    for number in range(1, _MOST):
        words = ("run", "-d", *(("--rm",) if brief else ()), "--name", "c1", "box", "sleep", "1000")
        store.ok(*words)
        (line,) = store.ok("top", "c1", "-o", "pid,ppid").splitlines()[1:]
        first, monitor = map(int, line.split())
        inject = f"inject={call}:signal=KILL:when={number}"
        tracer = subprocess.Popen(
            [
                "strace",
                "-q",
                "-o",
                log,
                "-e",
                f"trace={call}",
                "-e",
                inject,
                "-p",
                str(monitor),
            ]
        )
        with tracer:
            store.await_tracer(monitor)
            os.kill(first, signal.SIGTERM)  # in vain: the first process is deaf to it
            os.kill(first, signal.SIGKILL)
            tracer.wait(_PATIENCE)
        store.assert_sound()
        known = store.containers()
        assert known == ([] if brief else ["c1 exited"]), (call, number, known)
        if not brief:
            assert json.loads(store.ok("inspect", "c1"))[0]["State"]["ExitCode"] == 137
            store.ok("rm", "c1")
        if "+++ exited with" in Path(log).read_text():
            return
