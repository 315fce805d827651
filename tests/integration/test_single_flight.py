"""Two processes that want the same layer at once: one makes it, the other waits and shares.

The first is stopped in the middle of its work, and the second is seen to wait for it. Then the
first goes on, or is killed. That the second made nothing is certain because it was told to die
as soon as it would stage anything of its own.
"""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from lamina.testing.trees import tar_of

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")

PATIENCE = 60  # seconds
OLD = tar_of("d d\nf d/a one\nf d/b two")
COPY = b"FROM base\nCOPY a /a\n"


class Rig:
    """A store, what to bring into it, and commands that can be stopped and killed."""

    def __init__(self, folder, driver):
        self.folder = folder
        self.driver = driver
        self.root = f"{folder}/root"
        self.running = []

    def start(self, *words, **wishes):
        env = {
            **os.environ,
            "LAMINA_RUN_ROOT": f"{self.folder}/run",
            **{f"LAMINA_TEST_{name.upper()}": point for name, point in wishes.items()},
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "lamina", "--root", self.root, "--driver", self.driver, *words],
            env=env,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.running.append(process)
        return process

    def ok(self, *words, **wishes):
        return ended(self.start(*words, **wishes))

    def write(self, name, data):
        path = f"{self.folder}/{name}"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data)
        return path

    def layer_folders(self):
        home = {"vfs": "vfs/dir", "overlay2": "overlay2"}[self.driver]
        return [name for name in os.listdir(f"{self.root}/{home}") if len(name) > 26]

    def diff_ids(self, *names):
        return [json.loads(self.ok("inspect", name))[0]["RootFS"]["Layers"] for name in names]

    def layers_stored(self):
        return json.loads(self.ok("tree", "--format", "json"))["LayersStored"]

    def assert_sound(self):
        assert self.ok("check", "--full") == "clean\n"
        assert os.listdir(f"{self.root}/staging") == []


def ended(process):
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    return out


def wait_until_stopped(process):
    found = os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
    assert found.si_code == os.CLD_STOPPED, process.communicate()


def wait_until_waiting(process):
    """Until the process waits for a lock that somebody holds.

    The kernel says so of one that sleeps on it; a build, which can be stopped meanwhile, has the
    lock's file open and tries again.
    """
    limit = time.monotonic() + PATIENCE
    while not _is_waiting(process.pid):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < limit, "it never waited"
        time.sleep(0.01)


def _is_waiting(pid):
    with open("/proc/locks", encoding="ascii") as file:
        words = [line.split() for line in file]
    if any("->" in line and str(pid) in line for line in words):
        return True
    return any("/locks/steps/" in path for path in _opened(pid))


def _opened(pid):
    for name in os.listdir(f"/proc/{pid}/fd"):
        with suppress(OSError):
            yield os.readlink(f"/proc/{pid}/fd/{name}")


@pytest.fixture(params=["overlay2", "vfs"])
def rig(request, tmp_path, busybox_tar):
    made = Rig(str(tmp_path), request.param)
    yield made
    for process in made.running:
        if process.poll() is None:
            process.kill()
        process.communicate()


def importing(rig, busybox_tar):
    rig.ok("images")
    return ("import", busybox_tar), "layer-extracted", "layer-staged"


def loading(rig, busybox_tar):
    rig.ok("import", rig.write("old.tar", OLD), "x")
    rig.ok("save", "-o", f"{rig.folder}/x.tar", "x")
    rig.ok("rmi", "x")
    return ("load", "-i", f"{rig.folder}/x.tar"), "layer-extracted", "layer-staged"


def copying(rig, busybox_tar):
    rig.ok("import", busybox_tar, "base")
    rig.write("context/Dockerfile", COPY)
    rig.write("context/a", b"text")
    return ("build", "-q", "context"), "layer-extracted", "layer-staged"


def running(rig, busybox_tar):
    words, _, _ = copying(rig, busybox_tar)
    rig.ok(*words)
    rig.write("context/Dockerfile", COPY + b"RUN echo more > /more\n")
    return words, "rw-created", "rw-staged"


WORK = [importing, loading, copying, running]


@pytest.mark.parametrize("work", WORK)
def test_the_second_waits_and_shares(rig, busybox_tar, work):
    words, middle, first_step = work(rig, busybox_tar)
    before = set(rig.layer_folders())
    first = rig.start(*words, stop=middle)
    wait_until_stopped(first)
    second = rig.start(*words, crash=first_step)
    wait_until_waiting(second)
    assert len(set(rig.layer_folders()) - before) == 1  # what the first is making
    first.send_signal(signal.SIGCONT)
    said = ended(first), ended(second)
    if words[0] != "import":  # an imported image carries the moment of its import
        assert said[0] == said[1]
    assert rig.layers_stored() == len(rig.layer_folders())
    rig.assert_sound()


@pytest.mark.parametrize("work", WORK)
def test_a_killed_first_hands_over(rig, busybox_tar, work):
    words, middle, _ = work(rig, busybox_tar)
    first = rig.start(*words, stop=middle)
    wait_until_stopped(first)
    second = rig.start(*words)
    wait_until_waiting(second)
    first.kill()
    ended(second)
    assert rig.layers_stored() == len(rig.layer_folders())
    rig.assert_sound()


def test_a_file_that_changed_meanwhile_is_read(rig):
    path = rig.write("root.tar", OLD)
    rig.ok("images")
    first = rig.start("import", path, "first", stop="layer-extracted")
    wait_until_stopped(first)
    second = rig.start("import", path, "second")
    wait_until_waiting(second)
    changed = OLD.replace(b"one", b"six")
    with open(path, "r+b") as file:
        file.write(changed)
    first.send_signal(signal.SIGCONT)
    ended(first)
    ended(second)
    one, other = rig.diff_ids("first", "second")
    assert one != other
    rig.assert_sound()
