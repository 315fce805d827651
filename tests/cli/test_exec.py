"""More commands in running containers, and what can be done to these while they run."""

import os
import re
import signal
import subprocess

import pytest

from tests.cli.rig import assert_complaint, told, tree, until, until_told
from tests.cli.terminal import Terminal
from tests.cli.test_detached import apart, by_either, keeper_of, see, state

__all__ = ["apart"]
pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")
_COUNT = ("sh", "-c", "n=0; while :; do n=$((n+1)); echo $n; sleep 0.05; done")


@pytest.fixture
def up(apart):
    """A store with the container `c1`, which runs."""
    apart.ok("run", "-d", "--name", "c1", "-e", "A=1", "-w", "/tmp", "base", "sleep", "1000")
    return apart


def runs(name):
    """Where a process of these words is, as its /proc folder; empty where none is."""
    listed = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True)
    found = re.search(rf"^\s*(\d+) {re.escape(name)}$", listed.stdout, re.MULTILINE)
    return found[1] if found else ""


@by_either
def test_it_has_what_the_container_has_and_its_own_exit_status(up):
    script = "cat; echo $A $B $HOME $(pwd); hostname; echo oops >&2; exit 7"
    said = up("exec", "-i", "-e", "B=2", "c1", "sh", "-c", script, stdin=b"given\n")
    host = told(up, "inspect", "c1")[0]["Config"]["Hostname"]
    assert said == (7, f"given\n1 2 /root /tmp\n{host}\n", "oops\n")
    assert up.ok(
        "exec", "-u", "bob", "-w", "/", "c1", "sh", "-c", "id -un; id -Gn; echo $HOME; pwd"
    ) == ("bob\nbob wheel\n/\n/\n")
    assert up.ok("exec", "c1", "sh", "-c", "echo $$ >/dev/null; cat /proc/1/cmdline").startswith(
        "sleep"
    )
    assert up.ok("exec", "c1", "cat") == "", "without -i it has no input"
    own = ("exec", "-u", "5:6", "c1", "sed", "-n", "s/^Groups://p", "/proc/self/status")
    assert up.ok(*own).split() == ["6"], "no set-group-ID program takes it out of its group"


@by_either
def test_it_is_killed_as_soon_as_the_container_when_memory_is_out(apart):
    apart.ok("run", "-d", "--name", "c1", "--oom-score-adj", "321", "base", "sleep", "1000")
    both = ("cat", "/proc/1/oom_score_adj", "/proc/self/oom_score_adj")
    assert apart.ok("exec", "c1", *both) == "321\n321\n"
    assert apart("exec", "c1", "sh", "-c", "exit 7") == (7, "", "")


@by_either
def test_a_privileged_one_has_what_the_container_dropped(apart):
    apart.ok("run", "-d", "--name", "c1", "--cap-drop", "ALL", "base", "sleep", "1000")
    rights = ("grep", "CapEff", "/proc/self/status")
    assert int(apart.ok("exec", "c1", *rights).split()[1], 16) == 0
    with open("/proc/self/status") as file:
        mine = next(line.split()[1] for line in file if line.startswith("CapBnd"))
    assert apart.ok("exec", "--privileged", "c1", *rights).split()[1] == mine


@by_either
def test_what_cannot_be_executed(up):
    assert up("exec", "c1", "no-such").code == 127
    assert up("exec", "c1", "/etc/passwd").code == 126
    assert_complaint(up("exec", "-u", "nobody-here", "c1", "true"), "nobody-here", code=125)
    assert_complaint(up("exec", "none", "true"), "no such container")
    assert_complaint(up("exec", "-it", "c1", "true"), "the input device is not a terminal")
    assert_complaint(up("exec", "-w", "relative", "c1", "true"), "absolute")
    up.ok("stop", "-t", "0", "c1")
    assert_complaint(up("exec", "c1", "true"), "not running")


@by_either
def test_it_is_as_confined_as_the_container(up):
    rights = "grep CapEff /proc/self/status"
    plain = up.ok("exec", "c1", "sh", "-c", rights).split()[1]
    assert int(plain, 16) & ~0xA80425FB == 0, "docker's fourteen at most"
    every = up.ok("exec", "--privileged", "c1", "sh", "-c", rights).split()[1]
    assert int(every, 16) > int(plain, 16)
    fds = up.ok("exec", "c1", "sh", "-c", "ls -l /proc/self/fd")
    assert not [line for line in fds.splitlines() if "memfd" in line or "/run" in line], fds


@by_either
def test_detached_ones_are_reaped(up):
    for number in range(3):
        up.ok("exec", "-d", "c1", "sh", "-c", f"echo x >/made{number}")
    until(lambda: up("exec", "c1", "ls", "/made0", "/made1", "/made2").code == 0)
    until(lambda: up.ok("exec", "c1", "ps").count("\n") == 3)
    assert up.ok("exec", "c1", "ls", "/").split().count("made0") == 1


@by_either
def test_at_a_terminal(up):
    sized = 'until size=$(stty size 2>/dev/null); test -n "$size"; do :; done'  # crun sets it late
    script = f'test -t 0 || exit 6; {sized}; echo at $size; read x; echo "<$x>"; exit 5'
    at = Terminal(up.command("exec", "-it", "c1", "sh", "-c", script), up.env, up.folder, (33, 77))
    try:
        at.see(b"at 33 77")
        at.type(b"hello\r")
        at.see(b"<hello>")
        assert at.end() == 5
    finally:
        at.close()


@by_either
@pytest.mark.parametrize("lines", [1, 2000])
def test_what_a_short_command_writes_at_a_terminal_is_never_lost(up, lines):
    for _ in range(15):
        # in one another's way, so that the command has mostly ended before anybody reads
        one = ("chrt", "-b", "0", "taskset", "-c", str(min(os.sched_getaffinity(0))))
        command = [*one, *up.command("exec", "-it", "c1", "seq", str(lines))]
        at = Terminal(command, up.env, up.folder, (33, 77))
        try:
            at.see(b"%d\r" % lines)
            assert at.end() == 0
        finally:
            at.close()


def test_at_a_terminal_that_we_have_not(up):
    said = up("exec", "-t", "c1", "sh", "-c", "test -t 0 && test -t 1 && echo at; exit 6")
    assert (said.code, said.out) == (6, "at\r\n")
    said = up("exec", "-t", "c1", "none")
    assert_complaint(said, "executable file not found", code=127)
    fds = up.ok("exec", "-t", "c1", "ls", "-l", "/proc/self/fd")
    assert not [line for line in fds.splitlines() if "memfd" in line or "console" in line], fds
    assert not [each for each in tree(up.env["LAMINA_RUN_ROOT"]) if "console" in each]


@pytest.fixture
def at(up):
    """A function that executes a shell script at a terminal."""
    made = []

    def start(script):
        command = up.command("exec", "-it", "c1", "sh", "-c", script)
        made.append(Terminal(command, up.env, up.folder, (33, 77)))
        return made[-1]

    yield start
    for each in made:
        each.close()


@by_either
def test_a_terminal_is_the_commands_own(at):
    counting = "trap 'n=x$n; echo caught $n' INT; trap 'echo now $(stty size)' WINCH; echo up"
    shell = at(f"{counting}; until read x; do :; done; cat; echo at its end; exit 3")
    shell.see(b"up")
    shell.type(b"\x03")
    shell.see(b"caught x\r")
    shell.resize(44, 99)
    shell.see(b"now 44 99")
    shell.type(b"go on\r\x04")
    shell.see(b"at its end")
    assert shell.end() == 3


def test_what_stays_behind_at_a_terminal_keeps_nobody_waiting(at):
    shell = at("trap '' HUP; setsid sleep 1000 & echo done")
    shell.see(b"done")
    assert shell.end() == 0


def test_a_command_that_closes_its_terminal_lives_on(at):
    shell = at("exec <&- >&- 2>&-; sleep 0.2; echo again >/dev/tty; exit 4")
    shell.see(b"again")
    assert shell.end() == 4


@by_either
def test_a_command_whose_terminal_hangs_up_is_ended(at, up):
    shell = at("trap '' HUP; echo ready; while :; do sleep 0.1; done")
    shell.see(b"ready")
    shell.hang_up()
    shell.process.wait(30)
    until(lambda: "trap" not in up.ok("exec", "c1", "ps"))


def test_a_signal_reaches_it_and_a_killed_client_leaves_the_container(up):
    script = "trap 'echo asked; exit 9' TERM; echo up; while :; do sleep 0.1; done"
    command = up.command("exec", "c1", "sh", "-c", script)
    with subprocess.Popen(command, env=up.env, stdout=subprocess.PIPE) as client:
        assert client.stdout.readline() == b"up\n"
        client.terminate()
        assert client.stdout.read() == b"asked\n"
        assert client.wait() == 9
    with subprocess.Popen(command, env=up.env, stdout=subprocess.PIPE) as client:
        assert client.stdout.readline() == b"up\n"
        client.kill()
    assert state(up, "c1")["Running"]
    up.ok("stop", "-t", "0", "c1")
    assert state(up, "c1")["ExitCode"] == 137


def test_many_at_once(up):
    clients = [
        subprocess.Popen(
            up.command("exec", "c1", "sh", "-c", f"echo {number}; exit {number}"),
            env=up.env,
            stdout=subprocess.PIPE,
        )
        for number in range(12)
    ]
    for number, client in enumerate(clients):
        with client:
            assert client.communicate()[0] == b"%d\n" % number
        assert client.returncode == number


def test_in_one_that_runs_in_the_foreground(apart):
    words = ("run", "--name", "c1", "base", "sh", "-c", "echo up; sleep 1000")
    with subprocess.Popen(
        apart.command(*words), env=apart.env, stdout=subprocess.PIPE
    ) as foreground:
        assert foreground.stdout.readline() == b"up\n"
        until_told(apart, "c1")
        assert apart("exec", "c1", "sh", "-c", "echo in; exit 3") == (3, "in\n", "")
        apart.ok("exec", "c1", "touch", "/made")
        assert apart.ok("diff", "c1") == "A /made\n"
        apart.ok("kill", "c1")
        assert foreground.wait() == 137


def test_a_paused_one_stands_still(apart):
    apart.ok("run", "-d", "--name", "c1", "base", *_COUNT)
    see(apart, "c1", "3\n")
    assert apart.ok("pause", "c1") == "c1\n"
    found = state(apart, "c1")
    assert (found["Status"], found["Running"], found["Paused"]) == ("paused", True, True)
    assert re.fullmatch(r"Up .* \(Paused\)\n", apart.ok("ps", "--format", "{{.Status}}"))
    for pid in apart.ok("top", "c1", "-o", "pid").split()[1:]:
        with open(f"/proc/{pid}/stat") as file:
            assert file.read().rpartition(")")[2].split()[0] == "T"
    assert_complaint(apart("exec", "c1", "true"), "paused")
    assert_complaint(apart("pause", "c1"), "paused already")
    assert_complaint(apart("rm", "c1"), "running")
    before = apart.ok("logs", "c1")
    assert apart.ok("diff", "c1") == ""
    apart.ok("commit", "c1", "held")
    assert apart.ok("logs", "c1") == before
    assert apart.ok("unpause", "c1") == "c1\n"
    until(lambda: apart.ok("logs", "c1") != before)
    assert_complaint(apart("unpause", "c1"), "not paused")
    apart.ok("pause", "c1")
    apart.ok("stop", "-t", "0", "c1")
    assert state(apart, "c1")["ExitCode"] == 137
    apart.ok("start", "c1")
    assert state(apart, "c1")["Status"] == "running", "the mark of a pause ends with the start"


def test_what_is_copied_told_and_kept_of_a_running_one(up):
    up.write("file", "from here\n")
    up.ok("cp", "file", "c1:/tmp/file")
    assert up.ok("exec", "c1", "cat", "/tmp/file") == "from here\n"
    up.ok("exec", "c1", "sh", "-c", "echo there >/opt-file; mkdir /etc/new; touch /etc/new/x")
    up.ok("cp", "c1:/opt-file", "out")
    with open(f"{up.folder}/out") as file:
        assert file.read() == "there\n"
    assert up.ok("diff", "c1") == (
        "C /etc\nA /etc/new\nA /etc/new/x\nA /opt-file\nC /tmp\nA /tmp/file\n"
    )
    up.ok("commit", "c1", "kept")
    listed = up.ok("run", "--rm", "kept", "ls", "/", "/etc").split()
    assert {"opt-file", "new"} <= set(listed)
    up.ok("create", "--name", "c2", "kept", "true")
    up.ok("export", "-o", "tree.tar", "c1")
    names = subprocess.run(
        ["tar", "tf", f"{up.folder}/tree.tar"], capture_output=True, text=True, check=True
    )
    assert "opt-file" in names.stdout


def test_rename_top_and_port(up):
    up.ok("rename", "c1", "other")
    assert up.ok("ps", "--format", "{{.Names}}") == "other\n"
    assert_complaint(up("exec", "c1", "true"), "no such container")
    titles, row = up.ok("top", "other").splitlines()
    assert titles.split()[:2] == ["UID", "PID"]
    assert row.split()[1] == str(state(up, "other")["Pid"])
    assert row.endswith("sleep 1000")
    assert_complaint(up("top", "other", "-o", "args"), "PID")
    assert up.ok("port", "other") == ""
    up.ok("stop", "-t", "0", "other")
    assert_complaint(up("top", "other"), "not running")


def test_a_monitor_that_dies_takes_what_is_executed_along(up):
    with subprocess.Popen(
        up.command("exec", "c1", "sh", "-c", "echo up; sleep 54321"),
        env=up.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as client:
        assert client.stdout.readline() == b"up\n"
        os.kill(keeper_of(up, "c1"), signal.SIGKILL)
        client.communicate()
        assert client.returncode == 137
    until(lambda: not runs("sleep 54321"))
