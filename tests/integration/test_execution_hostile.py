"""Images that lie in wait, engines that are killed, and hosts that allow little."""

import contextlib
import glob
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from lamina.errors import InUse, LaminaError, RuntimeFailure
from lamina.execution.room import sweep
from lamina.execution.traces import Traces, recover
from lamina.fs.inroot import Root
from lamina.runtime.confinement import Confinement
from lamina.runtime.process import Volume
from tests.integration.execution_rig import Rig, fingerprint, in_python, write

PATIENCE = 20.0  # seconds; a bound, never a wait


@pytest.fixture
def outside(tmp_path) -> str:
    path = str(tmp_path / "outside")
    os.makedirs(path)
    return path


@pytest.mark.parametrize("name", ["proc", "sys", "dev"])
@pytest.mark.parametrize("kind", ["link", "file", "fifo"])
def test_system_mount_points_must_be_directories(unsettled, isolation, outside, name, kind):
    point = f"{unsettled.base}/{name}"
    os.rmdir(point)
    if kind == "link":
        os.symlink(outside, point)
    elif kind == "file":
        write(point, "")
    else:
        os.mkfifo(point)
    with pytest.raises(RuntimeFailure, match=f"/{name} of the image is no directory"):
        unsettled.settle().run(isolation, "true")
    assert os.listdir(outside) == []


@pytest.mark.parametrize("target", ["/proc", "proc/self", "/sys/kernel", "/dev"])
def test_etc_may_not_lead_into_a_system_mount(unsettled, isolation, target):
    subprocess.run(["rm", "-r", f"{unsettled.base}/etc"], check=True)
    os.symlink(target, f"{unsettled.base}/etc")
    with pytest.raises(RuntimeFailure, match="of the image leads into /"):
        unsettled.settle().run(isolation, "true")


def test_etc_that_leads_out_of_the_root_stays_inside(unsettled, isolation, outside):
    subprocess.run(["rm", "-r", f"{unsettled.base}/etc"], check=True)
    os.symlink("/../../../../../.." + outside, f"{unsettled.base}/etc")
    rig = unsettled.settle()
    said = rig.run(isolation, "cat", outside + "/hostname", hostname="h")
    assert said.out == "h\n", said.err
    assert os.listdir(outside) == []
    assert rig.traces() == []


@pytest.mark.parametrize("kind", ["directory", "fifo", "loop"])
def test_a_host_file_that_is_no_file(unsettled, isolation, kind):
    path = f"{unsettled.base}/etc/hosts"
    if kind == "directory":
        os.mkdir(path)
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        os.symlink("hosts", path)
    with pytest.raises(RuntimeFailure, match="/etc/hosts of the image"):
        unsettled.settle().run(isolation, "true")


def test_a_host_file_that_links_outside_writes_nothing_there(unsettled, isolation, outside):
    write(f"{outside}/victim", "untouched")
    os.symlink(f"{outside}/victim", f"{unsettled.base}/etc/hosts")
    rig = unsettled.settle()
    assert rig.run(isolation, "sh", "-c", "echo x >/etc/hosts").code == 0
    with open(f"{outside}/victim") as file:
        assert file.read() == "untouched"
    assert rig.traces() == []


@pytest.mark.parametrize("name", ["passwd", "group"])
def test_passwd_as_fifo_hangs_nobody(unsettled, isolation, name):
    os.unlink(f"{unsettled.base}/etc/{name}")
    os.mkfifo(f"{unsettled.base}/etc/{name}")
    with pytest.raises(RuntimeFailure, match=f"/etc/{name} is no regular file"):
        unsettled.settle().run(isolation, "true", user="7")


def test_passwd_as_a_link_is_the_images_own(unsettled, isolation, outside):
    write(f"{outside}/passwd", "joe:x:5:5::/:\n")
    os.unlink(f"{unsettled.base}/etc/passwd")
    os.symlink(f"/../../../../../../..{outside}/passwd", f"{unsettled.base}/etc/passwd")
    with pytest.raises(RuntimeFailure, match="unable to find user joe"):
        unsettled.settle().run(isolation, "true", user="joe")


@pytest.mark.parametrize("cwd", ["/proc/self/fd/7", "/proc/self/cwd", "/proc/1/root/tmp", "/wd"])
def test_a_working_directory_that_no_root_confines(unsettled, isolation, cwd):
    os.symlink("/proc/self/fd/8", f"{unsettled.base}/wd")
    with pytest.raises(RuntimeFailure, match="may lie outside"):
        unsettled.settle().run(isolation, "pwd", cwd=cwd)


def test_a_working_directory_through_a_link_stays_inside(unsettled, isolation, outside):
    os.makedirs(unsettled.base + outside)
    os.symlink("/../../../../.." + outside, f"{unsettled.base}/wd")
    rig = unsettled.settle()
    assert rig.run(isolation, "sh", "-c", "echo x >here", cwd="/wd").code == 0
    assert os.listdir(outside) == []
    assert os.listdir(rig.upper + outside) == ["here"]


def test_a_volume_through_a_link_stays_inside(unsettled, isolation, outside, tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "x").write_text("x")
    os.symlink("/../../../../.." + outside, f"{unsettled.base}/v")
    rig = unsettled.settle()
    volume = Volume(str(shared), "/v/data", False)
    assert rig.run(isolation, "cat", outside + "/data/x", volumes=(volume,)).out == "x"
    assert os.listdir(outside) == []
    assert rig.traces() == []


def test_a_container_that_swaps_a_folder_for_a_link_is_not_followed(unsettled, isolation, outside):
    """Taking the mount points back happens after it ran: it may have moved everything."""
    for name in ("hosts", "hostname", "resolv.conf"):
        write(f"{outside}/{name}", "")
    rig = unsettled.settle()
    rig.run(
        isolation, "sh", "-c", f"mv /etc /etc2; ln -s {outside} /etc; ln -s /../../{outside} /x"
    )
    assert sorted(os.listdir(outside)) == ["hostname", "hosts", "resolv.conf"]


def test_very_many_and_long_arguments(unsettled, isolation):
    args = ("sh", "-c", "echo $# ${#1}", "sh", "x" * 100_000, *(["y"] * 500))
    assert unsettled.settle().run(isolation, *args).out == "501 100000\n"


def test_text_that_is_no_utf8(unsettled, isolation):
    said = unsettled.settle().run(
        isolation, "sh", "-c", 'printf %s "$A" | wc -c', env=("A=\udcff",)
    )
    assert said.code == 0  # JSON has no such text: what comes of it is the runtime's to say


# --- a killed engine ----------------------------------------------------------------------

_ENGINE = """
import os
from tests.integration.execution_rig import Rig
from lamina.execution.run import Stdio, start
from lamina.runtime.isolation import choose
rig = Rig.again({facts!r})
running = start(rig.job(*{args!r}), choose({isolation!r}), Stdio(None, 1, None))
os.write(1, b"started\\n")
running.wait()
"""


@contextlib.contextmanager
def _engine(
    rig: Rig, isolation: str, *args: str, under: tuple[str, ...] = ()
) -> Iterator[subprocess.Popen[bytes]]:
    script = _ENGINE.format(facts=dict(rig.__dict__), args=args, isolation=isolation)
    with subprocess.Popen([*under, *in_python(script)], stdout=subprocess.PIPE) as engine:
        try:
            yield engine
        finally:
            engine.kill()


def _sleepers(mark: str) -> list[int]:
    found = []
    for name in os.listdir("/proc"):
        try:
            if name.isdigit():
                with open(f"/proc/{name}/cmdline", "rb") as file:
                    if mark.encode() in file.read().split(b"\0"):
                        found.append(int(name))
        except OSError:
            continue
    return found


def _await(condition) -> None:
    limit = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < limit, "in vain"
        time.sleep(0.01)


def test_a_runtime_that_is_killed_while_it_seals_itself_leaves_no_file(
    unsettled, isolation, needs_program
):
    """crun and runc mount themselves on a file for a moment: it must not be one in /tmp."""
    if isolation == "chroot":
        pytest.skip("a chroot has no runtime")
    rig = unsettled.settle()
    before = set(glob.glob(f"/tmp/{isolation}.*"))
    strace = [needs_program("strace"), "-qq", "-f", "-o", "/dev/null", "-e", "trace=umount2"]
    under = (*strace, "-e", "inject=umount2:signal=KILL:when=1")
    with _engine(rig, isolation, "true", under=under) as engine:
        engine.wait()
    assert set(glob.glob(f"/tmp/{isolation}.*")) <= before
    assert rig.run(isolation, "echo", "next").out == "next\n"
    assert rig.left_over() == []


def test_kill_9_of_what_supervises_ends_the_container(unsettled, isolation):
    rig = unsettled.settle()
    mark = f"60{os.getpid()}{time.monotonic_ns() % 10**9}"
    script = f"setsid sh -c 'trap : TERM; sleep {mark}; :' & echo up; sleep {mark}; true"
    with _engine(rig, isolation, "sh", "-c", script) as engine:
        assert engine.stdout is not None
        assert {engine.stdout.readline(), engine.stdout.readline()} == {b"up\n", b"started\n"}
        with open(f"/proc/{engine.pid}/task/{engine.pid}/children") as file:
            for child in file.read().split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(child), signal.SIGKILL)
        engine.wait()
        assert _sleepers(mark) == []
    assert rig.run(isolation, "echo", "next").out == "next\n"
    assert rig.traces() == []
    assert rig.left_over() == []


@pytest.mark.parametrize("user_code", ["plain", "daemon"])
def test_kill_9_of_the_engine_ends_the_container(unsettled, isolation, user_code):
    rig = unsettled.settle()
    mark = f"10{os.getpid()}{time.monotonic_ns() % 10**9}"
    script = {
        "plain": f"echo up; sleep {mark}; true",
        "daemon": f"setsid sh -c 'trap : TERM; sleep {mark}; :' & echo up; sleep {mark}; true",
    }[user_code]
    with _engine(rig, isolation, "sh", "-c", script) as engine:
        assert engine.stdout is not None
        said = {engine.stdout.readline(), engine.stdout.readline()}
        assert said == {b"up\n", b"started\n"}
        _await(lambda: len(_sleepers(mark)) == (1 if user_code == "plain" else 2))
        engine.kill()
        engine.wait()
        _await(lambda: not _sleepers(mark))
    with open("/proc/self/mountinfo") as file:
        assert rig.folder not in file.read()
    assert rig.run(isolation, "echo", "next").out == "next\n"
    assert rig.traces() == []
    assert rig.left_over() == []


_KILL_POINTS = (
    ("mkdir", 1),
    ("mkdir", 2),
    ("mkdirat", 1),
    ("unshare", 1),
    ("unshare", 2),
    ("mount", 1),
    ("mount", 2),
    ("move_mount", 1),
    ("mount_setattr", 1),
    ("utimensat", 1),
    ("utimensat", 2),
    ("fchmod", 2),
    ("fchmod", 5),
    ("pipe2", 1),
    ("pipe2", 2),
    ("vfork,clone,clone3", 2),
    ("vfork,clone,clone3", 3),
    ("waitid", 1),
)


@pytest.mark.parametrize(
    ("isolation", "call", "when"),
    [
        *(("crun", *point) for point in _KILL_POINTS),
        *(("runc", *point) for point in _KILL_POINTS[2::5]),
        *(("chroot", *point) for point in _KILL_POINTS[1::4]),
    ],
    indirect=["isolation"],
)
def test_kill_9_at_any_moment_of_a_start(unsettled, isolation, call, when, needs_program):
    """Killed at one system call after another: no mount, no process, and the next run is clean.

    strace kills the engine, or a thread's whole process, as it enters the call.
    """
    rig = unsettled.settle()
    mark = f"20{os.getpid()}{when}"
    strace = [needs_program("strace"), "-qq", "-f", "-b", "execve", "-o", "/dev/null"]
    inject = ["-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={when}"]
    with _engine(
        rig, isolation, "sh", "-c", f"sleep {mark}; true", under=(*strace, *inject)
    ) as engine:
        assert engine.stdout is not None
        if engine.stdout.readline():  # not reached before the start was over
            _kill_engine_below(engine.pid)
        engine.wait()
    _await(lambda: not _sleepers(mark))
    with open("/proc/self/mountinfo") as file:
        assert rig.folder not in file.read()
    assert rig.run(isolation, "echo", "next").out == "next\n"
    assert rig.changes() == []
    assert rig.left_over() == []


def _kill_engine_below(strace: int) -> None:
    with open(f"/proc/{strace}/task/{strace}/children") as file:
        children = [int(child) for child in file.read().split()]
    for child in children:  # none when the call killed it just now
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)


def test_a_sweep_clears_what_killed_engines_left_and_nothing_else(
    unsettled, isolation, monkeypatch
):
    monkeypatch.setattr("lamina.execution.room._PATIENCE", 0.0)
    rig = unsettled.settle()
    mark = f"40{os.getpid()}"
    with _engine(rig, isolation, "sh", "-c", f"sleep {mark}; true") as engine:
        assert engine.stdout is not None
        engine.stdout.readline()
        assert sweep(rig.run_dir) == 0
        assert os.path.exists(f"{rig.run_dir}/{rig.name}/upper")
        with pytest.raises(InUse, match=f"{rig.name[:12]} is running already"):
            rig.run(isolation, "true")
        engine.kill()
        engine.wait()
    _await(lambda: sweep(rig.run_dir) == 1)
    assert rig.changes() == []
    assert rig.left_over() == []
    assert sweep(rig.run_dir) == 0


def test_what_is_to_go_back_into_a_root_waits_until_the_root_is_found(tmp_path):
    run_dir, base, moved = tmp_path / "run", tmp_path / "base", tmp_path / "moved"
    folder = run_dir / ("ab" * 32)
    for path in (base, folder):
        os.makedirs(path)
    write(str(base / "hosts"), "the image's own\n")
    write(str(folder / "upper"), str(base))
    root = Root.at(str(base))
    Traces(root, str(folder)).lent_file(b"hosts", b"lent\n")
    root.close()  # killed
    os.rename(base, moved)
    assert sweep(str(run_dir)) == 0
    recover(str(folder), str(moved))
    assert (moved / "hosts").read_text() == "the image's own\n"
    assert sweep(str(run_dir), lambda name: name != folder.name) == 1  # no container any more
    assert os.listdir(run_dir) == []


# --- traces -------------------------------------------------------------------------------


def test_what_a_killed_start_left_is_taken_back(tmp_path):
    base, folder = tmp_path / "root", tmp_path / "folder"
    (base / "etc").mkdir(parents=True)
    folder.mkdir()
    write(str(base / "etc/hosts"), "the image's own\n")
    os.utime(base / "etc/hosts", ns=(10, 20))
    before = fingerprint(str(base))
    with Root.at(str(base)) as root:
        traces = Traces(root, str(folder))
        traces.directory(b"a/b/c")
        traces.empty_file(b"run/systemd/x")
        traces.lent_file(b"etc/hosts", b"1.2.3.4 lent\n")
        traces.lent_file(b"etc/resolv.conf", b"nameserver 1.2.3.4\n")
    assert fingerprint(str(base)) != before
    recover(str(folder), str(base))
    assert fingerprint(str(base)) == before
    recover(str(folder), str(base))


def test_a_torn_journal_still_tells_what_was_done(tmp_path):
    base, folder = tmp_path / "root", tmp_path / "folder"
    base.mkdir()
    folder.mkdir()
    with Root.at(str(base)) as root:
        Traces(root, str(folder)).directory(b"a")
    with open(folder / "traces", "ab") as file:
        file.write(b'["directory", "b')
    recover(str(folder), str(base))
    assert os.listdir(base) == []


def test_what_the_command_made_of_a_mount_point_stays(tmp_path):
    base, folder = tmp_path / "root", tmp_path / "folder"
    base.mkdir()
    folder.mkdir()
    with Root.at(str(base)) as root:
        traces = Traces(root, str(folder))
        traces.empty_file(b"etc/hosts")
        traces.directory(b"data")
        write(str(base / "etc/hosts"), "no longer empty")
        write(str(base / "data/kept"), "")
        traces.take_back()
    assert sorted(path for path in fingerprint(str(base)) if path != "/") == [
        "/data",
        "/data/kept",
        "/etc",
        "/etc/hosts",
    ]


# --- without the right to mount -----------------------------------------------------------

_PLAIN = """
import json
from tests.integration.execution_rig import Rig
from lamina.errors import LaminaError
from lamina.execution.run import Stdio, start
from lamina.runtime.confinement import Confinement
from lamina.runtime.isolation import choose
from lamina.runtime.process import Volume
rig = Rig.again({facts!r})
chosen = choose(None)
try:
    code = rig.run(chosen.name, *{args!r}, **{more!r})
except LaminaError as error:
    code = [type(error).__name__, str(error)]
print(json.dumps([chosen.name, chosen.reason, code]))
"""


@pytest.fixture
def plain(template, tmp_path, needs_program, needs_root):
    """Run in a flat root, as root without CAP_SYS_ADMIN."""
    setpriv = needs_program("setpriv")
    rig = Rig(str(tmp_path / "rig"), template, "flat")

    def run(*args: str, drop: str = "-sys_admin", **more: object) -> list[object]:
        script = _PLAIN.format(facts=dict(rig.__dict__), args=args, more=more)
        limits = [f"--bounding-set={drop}", "--inh-caps=-all"]
        done = subprocess.run(
            [setpriv, *limits, *in_python(script)],
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        name, reason, result = json.loads(done.stdout)
        assert name == "chroot"
        assert "CAP_SYS_ADMIN" in reason
        return result

    run.rig = rig  # type: ignore[attr-defined]
    return run


def test_plain_runs_and_leaves_nothing(plain):
    rig = plain.rig.settle()
    script = "cat /etc/hostname; id -u; pwd; echo x >/dev/null; head -c 1 /dev/zero | wc -c; exit 4"
    assert plain("sh", "-c", script, hostname="h", cwd="/tmp") == [4, "h\n0\n/tmp\n1\n", ""]
    assert rig.traces() == []
    assert rig.left_over() == []


def test_plain_without_device_nodes(plain):
    """Without CAP_MKNOD too: `>/dev/null` must not leave a file."""
    rig = plain.rig.settle()
    code, _, err = plain("sh", "-c", "echo x >/dev/null", drop="-sys_admin,-mknod")
    assert (code, err) == (0, "")
    assert rig.traces() == []


def test_plain_lends_host_files_and_restores_the_images(plain):
    base = plain.rig.base
    write(f"{base}/etc/hosts", "1.1.1.1 of-the-image\n", 0o600)
    os.utime(f"{base}/etc/hosts", ns=(1, 2))
    rig = plain.rig.settle()
    with open("/etc/hosts") as file:
        assert plain("cat", "/etc/hosts") == [0, f"{file.read()}127.0.0.1\tlamina\n", ""]
    assert rig.traces() == []
    plain("sh", "-c", "echo changed >/etc/hosts; echo x >/etc/mine")
    assert rig.changes() == [("C", "etc"), ("A", "etc/mine")] or rig.changes() == [
        ("A", "etc/mine")
    ]


def test_plain_as_a_user_with_little(plain):
    plain.rig.settle()
    script = "id -u; id -G"
    assert plain("sh", "-c", script, user="app") == [0, "1000\n1001 29\n", ""]


def test_plain_kills_what_is_left(plain):
    plain.rig.settle()
    mark = f"30{os.getpid()}"
    script = f"setsid sh -c 'sleep {mark}; true' >/dev/null 2>&1 & sleep 0.1; exit 0"
    assert plain("sh", "-c", script) == [0, "", ""]
    assert _sleepers(mark) == []


_SUPERVISED = """
import os
from tests.integration.execution_rig import Rig
from lamina.execution.run import Stdio, start
from lamina.runtime.isolation import choose
rig = Rig.again({facts!r})
reader, writer = os.pipe()
running = start(rig.job("sh", "-c", {script!r}), choose("chroot"), Stdio(None, writer, None))
os.close(writer)
os.read(reader, 3)
with open(f"/proc/{{running.pid}}/task/{{running.pid}}/children") as file:
    inner = int(file.read())
os.kill(running.pid if {which!r} == "outer" else inner, 9)
print(running.wait().code)
"""


@pytest.mark.parametrize("which", ["outer", "inner"])
def test_plain_leaves_nothing_when_a_supervisor_is_killed(plain, needs_program, which):
    """Without namespaces nobody but another supervisor could end a daemon."""
    rig = plain.rig.settle()
    mark = f"50{os.getpid()}{time.monotonic_ns() % 10**9}"
    script = f"setsid sh -c 'sleep {mark}; :' >/dev/null 2>&1 & echo up; sleep {mark}; true"
    code = _SUPERVISED.format(facts=dict(rig.__dict__), script=script, which=which)
    limits = ["--bounding-set=-sys_admin", "--inh-caps=-all"]
    done = subprocess.run(
        [needs_program("setpriv"), *limits, *in_python(code)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr) == ("137\n", "")
    assert _sleepers(mark) == []
    assert rig.traces() == []
    assert rig.left_over() == []


def test_plain_errors(plain):
    plain.rig.settle()
    kind, words = plain("nosuch")
    assert kind == "CommandNotFound"
    assert "executable file not found in $PATH" in words
    kind, words = plain("true", network="none")
    assert kind == "RuntimeFailure"
    assert "CAP_SYS_ADMIN" in words
    kind, words = plain("true", volumes=(Volume("/tmp", "/v", False),))
    assert kind == "RuntimeFailure"
    assert "mounting something on /v needs the right to mount" in words


@pytest.mark.parametrize("asked", [Confinement(shm_size=1 << 30), Confinement(ipc="none")])
def test_plain_cannot_give_shared_memory(plain, asked):
    plain.rig.settle()
    kind, words = plain("true", confinement=asked)
    assert kind == "RuntimeFailure"
    assert "shared memory" in words


def test_errors_are_one_line(unsettled, isolation):
    rig = unsettled.settle()
    for args, more in (
        (("nosuch",), {}),
        (("true",), {"user": "joe"}),
        (("true",), {"cwd": "relative"}),
        (("true",), {"network": "bridge"}),
        ((), {}),
    ):
        with pytest.raises(LaminaError) as raised:
            rig.run(isolation, *args, **more)
        assert "\n" not in str(raised.value)
        assert rig.left_over() == []
