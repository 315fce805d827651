"""Containers that live by themselves: run -d, ps, logs, wait, stop, kill, start, restart, rm."""

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.cli.rig import assert_complaint, told, tree, until

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")
_PATIENCE = 20.0  # seconds; a bound, never a wait
_STAY = ("sh", "-c", "trap 'echo asked; exit 5' TERM; echo up; while :; do sleep 0.1; done")


by_either = pytest.mark.parametrize("apart", ["crun", "runc"], indirect=True)


@pytest.fixture
def apart(base, request, needs_program):
    """A store with the image `base`, by crun; whatever is left running is removed."""
    runtime = getattr(request, "param", "crun")
    needs_program(runtime)
    base.env["LAMINA_ISOLATION"] = runtime
    yield base
    left = base.ok("ps", "-aq").split()
    if left:
        base.ok("rm", "-f", *left)


@pytest.fixture
def up(apart):
    """The same with the container `c1`, which ends with 5 when it is asked to, and has begun."""
    apart.ok("run", "-d", "--name", "c1", *("base", *_STAY))
    see(apart, "c1", "up\n")
    return apart


def see(lamina, name, text):
    """Wait until the container has written something."""
    command = lamina.command("logs", "-f", name)
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=lamina.env) as process:
        seen = b""
        while text.encode() not in seen:
            more = process.stdout.read1()
            assert more, seen
            seen += more
        process.kill()


def state(lamina, name):
    return told(lamina, "inspect", name)[0]["State"]


def keeper_of(lamina, name):
    """The process ID of a container's monitor: the parent of its first process."""
    with open(f"/proc/{state(lamina, name)['Pid']}/status") as file:
        return int(re.search(r"PPid:\s+(\d+)", file.read())[1])


def rooms(lamina):
    return [each for each in tree(lamina.env["LAMINA_RUN_ROOT"]) if "/rootfs" in each]


def are_cleared(lamina):
    """Whether nothing is left of containers that ended, once somebody has looked at them.

    A runtime may still be taking its own down when the end is known.
    """
    lamina.ok("ps", "-a")
    return rooms(lamina) == []


@by_either
def test_run_prints_the_id_and_the_rest_is_told_later(apart):
    said = apart.ok(
        "run", "-d", "--name", "c1", "base", "sh", "-c", "echo out; echo err >&2; exit 7"
    )
    assert re.fullmatch(r"[0-9a-f]{64}\n", said)
    assert apart.ok("wait", "c1") == "7\n"
    assert apart("logs", "c1") == (0, "out\n", "err\n")
    assert re.fullmatch(r"Exited \(7\) .* ago\n", apart.ok("ps", "-a", "--format", "{{.Status}}"))
    assert apart.ok("ps", "-q") == ""
    found = state(apart, "c1")
    assert (found["Status"], found["Running"], found["ExitCode"], found["Pid"]) == (
        "exited",
        False,
        7,
        0,
    )
    assert found["StartedAt"] < found["FinishedAt"]
    until(lambda: are_cleared(apart))


def test_a_running_one_is_listed_and_kept(up):
    assert re.fullmatch(r"Up .*\n", up.ok("ps", "--format", "{{.Status}}"))
    found = state(up, "c1")
    assert (found["Status"], found["Running"]) == ("running", True)
    with open(f"/proc/{found['Pid']}/cmdline") as file:
        assert file.read().startswith("sh\0-c\0trap")
    assert_complaint(up("rm", "c1"), "is running")
    assert_complaint(up("rmi", "base"), "c1")
    assert up.ok("diff", "c1") == ""


@by_either
def test_stop_asks_and_then_kills(up):
    assert up.ok("stop", "c1") == "c1\n"
    assert state(up, "c1")["ExitCode"] == 5
    assert up.ok("logs", "c1") == "up\nasked\n"
    assert up.ok("stop", "c1") == "c1\n", "one that has ended is stopped"
    up.ok("run", "-d", "--name", "deaf", "base", "sleep", "1000")  # pid 1 is deaf to TERM
    assert up.ok("stop", "-t", "0", "deaf") == "deaf\n"
    assert state(up, "deaf")["ExitCode"] == 137


def test_the_stop_signal_is_the_containers_own(apart):
    script = "trap 'exit 3' USR1; echo up; while :; do sleep 0.1; done"
    apart.ok("run", "-d", "--name", "c1", "--stop-signal", "SIGUSR1", "base", "sh", "-c", script)
    see(apart, "c1", "up")
    apart.ok("stop", "c1")
    assert state(apart, "c1")["ExitCode"] == 3
    assert_complaint(apart("create", "--stop-signal", "NONE", "base"), "NONE")


def test_kill_sends_a_signal(up):
    assert up.ok("kill", "-s", "TERM", "c1") == "c1\n"
    assert up.ok("wait", "c1") == "5\n"
    assert_complaint(up("kill", "c1"), "is not running")
    up.ok("start", "c1")
    assert up.ok("kill", "c1") == "c1\n"
    assert up.ok("wait", "c1") == "137\n"
    assert_complaint(up("kill", "-s", "BOGUS", "c1"), "BOGUS")


@by_either
def test_started_again_it_finds_what_it_wrote(apart):
    script = "echo run >>/runs; cat /runs | wc -l"
    apart.ok("create", "--name", "c1", "base", "sh", "-c", script)
    for _ in range(2):
        assert apart.ok("start", "c1") == "c1\n"
        apart.ok("wait", "c1")
    assert apart.ok("logs", "c1") == "1\n2\n"
    assert apart.ok("start", "-a", "c1") == "3\n"
    assert apart.ok("diff", "c1") == "A /runs\n"


@by_either
def test_start_takes_the_exit_status_and_the_input(apart):
    apart.ok("create", "-i", "--name", "c1", "base", "sh", "-c", "cat; echo end >&2; exit 4")
    assert apart("start", "-ai", "c1", stdin=b"given\n") == (4, "given\n", "end\n")


def test_restart_is_a_new_start(up):
    before = state(up, "c1")
    assert up.ok("restart", "c1") == "c1\n"
    after = state(up, "c1")
    assert after["Pid"] != before["Pid"]
    assert after["StartedAt"] > before["StartedAt"]
    assert up.ok("start", "c1") == "c1\n", "one that runs is started"
    assert state(up, "c1")["Pid"] == after["Pid"]


@by_either
def test_what_cannot_be_started_says_so_at_once(apart):
    for command, code in (("no-such-command", 127), ("/etc/passwd", 126)):
        assert apart("run", "-d", "--name", "c1", "base", command).code == code
        assert state(apart, "c1")["Status"] == "created"
        assert apart("start", "c1").code == 1
        apart.ok("rm", "c1")
    assert apart("run", "-d", "--rm", "base", "no-such-command").code == 127
    assert apart.ok("ps", "-aq") == ""
    assert rooms(apart) == []


@by_either
def test_rm_removes_it_at_its_end_and_wait_knows_its_status(apart):
    apart.ok("run", "-d", "--rm", "--name", "c1", *("base", *_STAY))
    see(apart, "c1", "up")
    with subprocess.Popen(
        apart.command("wait", "c1"), stdout=subprocess.PIPE, env=apart.env, text=True
    ) as waiting:
        until(lambda: "poll" in Path(f"/proc/{waiting.pid}/wchan").read_text())
        apart.ok("stop", "c1")
        assert waiting.communicate(timeout=_PATIENCE)[0] == "5\n"
    until(lambda: not tree(f"{apart.root}/containers"))
    assert apart.ok("ps", "-aq") == ""
    assert tree(f"{apart.root}/containers") == []


def test_logs_can_be_cut_and_told_with_times(apart):
    apart.ok("run", "-d", "--name", "c1", "base", "sh", "-c", "seq 5; sleep 0.3; echo late")
    apart.ok("wait", "c1")
    assert apart.ok("logs", "-n", "2", "c1") == "5\nlate\n"
    assert apart.ok("logs", "--tail", "0", "c1") == ""
    lines = apart.ok("logs", "-t", "c1").splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z ", line) for line in lines)
    moment = lines[-1].split()[0]
    assert apart.ok("logs", "--since", moment, "c1").splitlines()[-1] == "late"
    assert "late" not in apart.ok("logs", "--until", moment[:-4] + "Z", "c1")
    assert apart.ok("logs", "--since", "1h30m", "c1").count("\n") == 6
    assert_complaint(apart("logs", "--since", "noon", "c1"), "noon")


def test_a_log_is_bounded_whatever_is_written(apart):
    options = ("--log-opt", "max-size=64k", "--log-opt", "max-file=2")
    apart.ok("run", "-d", "--name", "c1", *options, "base", "seq", "100000")
    apart.ok("wait", "c1")
    sizes = [os.path.getsize(path) for path in tree(f"{apart.root}/containers") if ".log" in path]
    assert len(sizes) == 2
    assert all(size <= 64 << 10 for size in sizes)
    kept = apart.ok("logs", "c1").split()
    assert kept == [str(number) for number in range(100001 - len(kept), 100001)]
    apart.ok("run", "-d", "--name", "c2", "--log-driver", "none", "base", "echo", "x")
    apart.ok("wait", "c2")
    assert_complaint(apart("logs", "c2"), "keeps no log")
    assert_complaint(apart("create", "--log-opt", "bogus=1", "base", "true"), "bogus")


def test_what_is_written_is_kept_byte_for_byte_where_it_is_text(apart):
    odd = 'tab\t quote" back\\ bell\a é \x7f no end'
    apart.ok("run", "-d", "--name", "c1", "base", "printf", "%s", odd)
    apart.ok("wait", "c1")
    assert apart.ok("logs", "c1") == odd
    with open(told(apart, "inspect", "c1")[0]["LogPath"]) as file:
        assert json.loads(file.read())["log"] == odd


@by_either
def test_a_killed_monitor_takes_its_container_along(up):
    first = state(up, "c1")["Pid"]
    handle = os.pidfd_open(first)
    os.kill(keeper_of(up, "c1"), signal.SIGKILL)
    until(lambda: is_gone(handle))
    found = state(up, "c1")
    assert (found["Status"], found["ExitCode"]) == ("exited", 137)
    assert up.ok("wait", "c1") == "137\n"
    until(lambda: are_cleared(up))
    up.ok("start", "c1")
    up.ok("stop", "c1")
    assert state(up, "c1")["ExitCode"] == 5


def is_gone(handle):
    try:
        signal.pidfd_send_signal(handle, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_killed_command_is_the_exit_status(up):
    os.kill(state(up, "c1")["Pid"], signal.SIGKILL)
    assert up.ok("wait", "c1") == "137\n"


@by_either
def test_nothing_is_left_of_what_it_started(apart):
    apart.ok("run", "-d", "--name", "c1", "base", "sh", "-c", "sleep 12345 & sleep 12345 & exit 0")
    apart.ok("wait", "c1")
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    assert "sleep 12345" not in listed.stdout


def test_no_monitor_is_a_child_of_who_started_it(up):
    with open(f"/proc/{keeper_of(up, 'c1')}/stat") as file:
        assert int(file.read().rpartition(")")[2].split()[1]) == 1 or _reaper_is_near()


def _reaper_is_near():
    """Whether another process than 1 takes over orphans here."""
    done = subprocess.run(
        ["sh", "-c", "(sh -c 'sleep 0.1; cut -d\" \" -f4 /proc/self/stat' &)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip() != "1"


def test_a_monitor_is_small(up):
    with open(f"/proc/{keeper_of(up, 'c1')}/smaps_rollup") as file:
        private = int(re.search(r"Private_Dirty:\s+(\d+)", file.read())[1])
    assert private < 8 << 10, "kB of memory that it shares with nobody"


def test_a_chroot_says_what_a_detached_one_needs(base):
    base.env["LAMINA_ISOLATION"] = "chroot"
    assert_complaint(base("run", "-d", "base", "true"), "crun or runc", code=125)
