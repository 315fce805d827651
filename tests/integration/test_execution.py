"""One process over one root, by every isolation and on every shape of root."""

import os
import signal
import subprocess
import sys
import tempfile
import threading

import pytest

from lamina.errors import (
    CommandNotExecutable,
    CommandNotFound,
    RuntimeFailure,
    UsageError,
)
from lamina.execution.run import Stdio, run, start
from lamina.fs.mounting import Bind, MountPlan
from lamina.runtime.isolation import choose, find_program
from lamina.runtime.process import Volume
from tests.integration.execution_rig import ISOLATIONS, Rig, write

DOCKERS = "00000000a80425fb"  # docker's fourteen capabilities
_LIBC_SIGNALS = 0x180000000  # 32 and 33 are the C library's own: no program can set them


@pytest.fixture(params=("flat", "overlay"))
def unsettled(request, template, tmp_path) -> Rig:
    return Rig(str(tmp_path / "rig"), template, request.param)


def test_status_output_and_nothing_left(rig, isolation):
    result = rig.run(isolation, "sh", "-c", "echo out; echo err >&2; exit 3")
    assert result == (3, "out\n", "err\n")
    assert rig.traces() == []
    assert rig.changes() == []
    assert rig.left_over() == []


@pytest.mark.parametrize("code", [0, 1, 125, 126, 127, 255])
def test_a_commands_own_status_is_passed_through(rig, isolation, code):
    assert rig.run(isolation, "sh", "-c", f"exit {code}") == (code, "", "")


def test_a_signal_is_128_and_its_number(rig, isolation):
    result = rig.run(isolation, "sh", "-c", "sh -c 'kill -9 $$'; exit $?")
    assert result.code == 137


def test_what_the_command_changes_is_all_that_is_changed(rig, isolation):
    rig.run(isolation, "sh", "-c", "echo x >/etc/new; rm /etc/group; mkdir /data")
    assert rig.changes() == [("A", "data"), ("C", "etc"), ("A", "etc/new"), ("D", "etc/group")] or (
        sorted(rig.changes()) == [("A", "data"), ("A", "etc/new"), ("C", "etc"), ("D", "etc/group")]
    )


def test_mount_points_go_though_somebody_is_still_in_the_namespace(rig, isolation):
    running = start(rig.job("sleep", "1000"), choose(isolation), Stdio(None, None, None))
    held = os.open(f"/proc/{running.pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    try:
        running.kill()
        assert running.wait().code == 137
        assert rig.changes() == []
    finally:
        os.close(held)


def test_a_folder_that_a_mount_point_was_put_into_keeps_its_time(rig, isolation):
    before = os.stat(f"{rig.base}/etc").st_mtime_ns
    rig.run(isolation, "sh", "-c", "echo x >/etc/passwd")
    assert os.stat(f"{rig.upper}/etc").st_mtime_ns == before


def test_a_root_without_anything_is_left_as_it_was(unsettled, isolation):
    base = unsettled.base
    for name in ("etc/passwd", "etc/group"):
        os.unlink(f"{base}/{name}")
    for name in ("etc", "proc", "sys", "dev"):
        os.rmdir(f"{base}/{name}")
    rig = unsettled.settle()
    assert rig.run(isolation, "sh", "-c", "cat /etc/hostname; ls /dev/null", hostname="h").out == (
        "h\n/dev/null\n"
    )
    assert rig.traces() == []
    assert rig.changes() == []


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (("nosuch",), CommandNotFound),
        (("/nosuch",), CommandNotFound),
        (("/etc/passwd/x",), CommandNotFound),
        (("/etc/passwd",), CommandNotExecutable),
        (("/etc",), CommandNotExecutable),
        (("/bad-interpreter",), CommandNotFound),
        (("/text",), CommandNotExecutable),
    ],
)
def test_a_command_that_cannot_run(unsettled, isolation, args, error):
    write(f"{unsettled.base}/bad-interpreter", "#!/no/such\n", 0o755)
    write(f"{unsettled.base}/text", "echo hello\n", 0o755)
    rig = unsettled.settle()
    with pytest.raises(error) as raised:
        rig.run(isolation, *args)
    assert args[0] in str(raised.value)
    assert "\n" not in str(raised.value)
    assert rig.traces() == []
    assert rig.left_over() == []


def test_a_script_without_a_loader_names_what_is_missing(unsettled, isolation):
    write(f"{unsettled.base}/bad", "#!/usr/bin/python9 -E\n", 0o755)
    with pytest.raises(CommandNotFound, match="interpreter /usr/bin/python9"):
        unsettled.settle().run(isolation, "/bad")


def test_a_program_from_a_volume_is_the_runtimes_to_find(rig, isolation, tmp_path):
    write(str(tmp_path / "tool"), "#!/bin/sh\necho tool $1\n", 0o755)
    volume = Volume(str(tmp_path), "/opt/tools", True)
    assert rig.run(isolation, "/opt/tools/tool", "7", volumes=(volume,)).out == "tool 7\n"
    with pytest.raises(CommandNotFound):
        rig.run(isolation, "/opt/tools/none", volumes=(volume,))
    assert rig.changes() == []


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        ("/tools/none", 127, "no such file or directory"),
        ("/tools/bad", 127, "no such file or directory"),
        ("/tools", 126, "permission denied"),
        ("/tools/plain", 126, "permission denied"),
        ("/tools/text", 126, "exec format error"),
        ("none", 127, "not found in .PATH"),
    ],
)
def test_a_runtimes_refusal_is_said_once(rig, isolation, tmp_path, command, code, words):
    """What a volume brings is the runtime's to judge: its words are ours, and nowhere else."""
    tools = tmp_path / "tools"
    tools.mkdir()
    write(str(tools / "bad"), "#!/no/such\n", 0o755)
    write(str(tools / "plain"), "x", 0o644)
    write(str(tools / "text"), "echo hello\n", 0o755)
    reader, writer = os.pipe2(os.O_CLOEXEC)
    volume = Volume(str(tools), "/tools", True)
    job = rig.job(command, volumes=(volume,), env=("PATH=/tools:/bin",))
    try:
        with pytest.raises(RuntimeFailure, match=words) as raised:
            run(job, choose(isolation), Stdio(None, writer, writer))
    finally:
        os.close(writer)
    with open(reader) as file:
        assert file.read() == ""
    assert raised.value.exit_code == code
    assert str(raised.value).startswith(f"cannot run {command!r}: ")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("code", [0, 1, 126])
def test_what_a_command_says_like_a_runtime_is_its_own(rig, isolation, code):
    said = "exec /x: exec format error\nrunc run failed: no"
    result = rig.run(isolation, "sh", "-c", f"echo '{said}' >&2; exit {code}")
    assert result == (code, "", f"{said}\n")


def test_a_prompt_without_a_newline_is_seen_before_the_answer(rig, isolation):
    ours, theirs = os.pipe2(os.O_CLOEXEC)
    answered, answer = os.pipe2(os.O_CLOEXEC)
    job = rig.job("sh", "-c", "printf 'who? ' >&2; read name; echo hello $name >&2")
    running = start(job, choose(isolation), Stdio(answered, None, theirs))
    os.close(theirs)
    os.close(answered)
    assert os.read(ours, 100) == b"who? "
    os.write(answer, b"you\n")
    os.close(answer)
    assert running.wait().code == 0
    assert os.read(ours, 100) == b"hello you\n"
    os.close(ours)


def test_standard_error_that_nobody_reads_ends_the_writer(rig, isolation):
    reader, writer = os.pipe2(os.O_CLOEXEC)
    job = rig.job("sh", "-c", "cat /dev/zero >&2; exit 9")
    running = start(job, choose(isolation), Stdio(None, None, writer))
    os.close(writer)
    assert os.read(reader, 2) == b"\0\0"
    os.close(reader)
    assert running.wait().code == 9


def test_much_on_standard_error_arrives_whole(rig, isolation):
    reader, writer = os.pipe2(os.O_CLOEXEC)
    job = rig.job("sh", "-c", "head -c 3072000 /dev/zero >&2")
    running = start(job, choose(isolation), Stdio(None, None, writer))
    os.close(writer)
    with open(reader, "rb") as file:
        assert len(file.read()) == 3072000
    assert running.wait().code == 0


def test_environment(rig, isolation):
    out = rig.run(isolation, "env", env=("A=1", "B=x=y", "nothing"), hostname="h1").out
    assert set(out.splitlines()) >= {"A=1", "B=x=y", "HOME=/root", "HOSTNAME=h1"}
    assert "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" in out
    assert "nothing" not in out
    assert "HOME=/elsewhere" in rig.run(isolation, "env", env=("HOME=/elsewhere",)).out


def test_nothing_of_the_callers_environment_comes_in(rig, isolation, monkeypatch):
    monkeypatch.setenv("LAMINA_SECRET", "x")
    assert "LAMINA_SECRET" not in rig.run(isolation, "env").out


def test_the_working_directory_is_made(rig, isolation):
    assert rig.run(isolation, "pwd", cwd="/a/b").out == "/a/b\n"
    assert rig.changes() == [("A", "a"), ("A", "a/b")]
    assert rig.run(isolation, "./sh", "-c", "pwd", cwd="/bin").out == "/bin\n"


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("", "0:0:0:/root"),
        ("app", "1000:1001:1001 29:/home/app"),
        ("1000", "1000:1001:1001 29:/home/app"),
        ("app:other", "1000:77:77:/home/app"),
        ("1000:5", "1000:5:5:/home/app"),
        ("4242", "4242:0:0:/"),
        ("4242:4243", "4242:4243:4243:/"),
    ],
)
def test_users(rig, isolation, user, expected):
    said = rig.run(isolation, "sh", "-c", "echo $(id -u):$(id -g):$(id -G):$HOME", user=user)
    assert said.out.strip() == expected, said.err


@pytest.mark.parametrize(("user", "groups"), [("", "0"), ("5:6", "6"), ("app", "29 1001")])
def test_no_change_of_group_shakes_off_ones_own(rig, isolation, user, groups):
    """CVE-2022-36109: `id -G` names the group itself, so the kernel's list is asked."""
    said = rig.run(isolation, "sh", "-c", "sed -n 's/^Groups://p' /proc/self/status", user=user)
    assert said.out.split() == groups.split()


def test_an_unknown_user_is_named_with_those_there_are(rig, isolation):
    with pytest.raises(RuntimeFailure, match=r"unable to find user joe.*root, app"):
        rig.run(isolation, "true", user="joe")


def test_capabilities(rig, isolation):
    script = "grep -E 'Cap(Inh|Eff|Bnd|Amb)' /proc/self/status | tr -d ' \\t\\n'"
    none = "0" * 16
    assert rig.run(isolation, "sh", "-c", script).out == (
        f"CapInh:{none}CapEff:{DOCKERS}CapBnd:{DOCKERS}CapAmb:{none}"
    )
    assert f"CapEff:{none}" in rig.run(isolation, "sh", "-c", script, user="app").out


def test_signals_and_umask_are_the_defaults(rig, isolation):
    """Python ignores SIGPIPE, and callers ignore more and have umasks: none is the container's."""
    old = os.umask(0o077)
    before = signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    try:
        script = "umask; grep -E 'Sig(Ign|Blk)' /proc/self/status; cat /etc/hosts"
        said = rig.run(isolation, "sh", "-c", script, user="app")
    finally:
        os.umask(old)
        signal.signal(signal.SIGUSR2, before)
    assert said.code == 0, said.err
    assert said.out.startswith("0022\n")
    blocked, ignored = (int(line.split()[1], 16) for line in said.out.splitlines()[1:3])
    assert blocked == 0
    assert ignored & ~_LIBC_SIGNALS == 0


def test_no_core_dumps(rig, isolation):
    assert rig.run(isolation, "sh", "-c", "ulimit -c").out == "0\n"


def test_descriptors_of_the_caller_do_not_leak(rig, isolation):
    reader, writer = os.pipe()
    high = 77
    os.dup2(writer, high)
    try:
        out = rig.run(isolation, "ls", "/proc/self/fd").out
    finally:
        for descriptor in (reader, writer, high):
            os.close(descriptor)
    assert set(out.split()) <= {"0", "1", "2", "3"}  # 3: the folder that ls reads


def test_standard_input(rig, isolation):
    assert rig.run(isolation, "cat", stdin=b"a line\n").out == "a line\n"
    assert rig.run(isolation, "cat").out == ""


def test_host_files(rig, isolation):
    script = "cat /etc/hosts /etc/resolv.conf; cat /etc/hostname; hostname"
    out = rig.run(isolation, "sh", "-c", script, hostname="inside").out
    with open("/etc/hosts") as hosts, open("/etc/resolv.conf") as resolv:
        known = hosts.read() + "127.0.0.1\tinside\n"
        assert out == known + resolv.read() + "inside\ninside\n"


def test_host_files_can_be_written_and_leave_nothing(rig, isolation):
    script = "echo 1.2.3.4 x >>/etc/hosts; tail -n1 /etc/hosts || cat /etc/hosts"
    assert "1.2.3.4 x" in rig.run(isolation, "sh", "-c", script).out
    assert rig.changes() == []


def test_host_files_over_the_images_own(unsettled, isolation):
    write(f"{unsettled.base}/etc/hosts", "1.1.1.1 of-the-image\n")
    os.makedirs(f"{unsettled.base}/run")
    os.symlink("../run/systemd/resolve/stub-resolv.conf", f"{unsettled.base}/etc/resolv.conf")
    rig = unsettled.settle()
    said = rig.run(
        isolation, "sh", "-c", "cat /etc/hosts; readlink /etc/resolv.conf; cat /etc/resolv.conf"
    )
    assert "of-the-image" not in said.out
    assert "../run/systemd/resolve/stub-resolv.conf" in said.out
    assert said.code == 0
    assert rig.traces() == []
    assert rig.changes() == []


def test_what_docker_hides_is_hidden(rig, isolation):
    hidden = "/proc/keys /proc/timer_list"
    script = f"cat {hidden} | head -c 9 | wc -c; ls -d /sys/firmware/* | wc -l"
    script += "; echo 1 >/proc/sys/kernel/panic"
    said = rig.run(isolation, "sh", "-c", script)
    assert said.out.split() == ["0", "0"]
    assert said.err.count("Read-only file system") == 1, said.err


def test_network_none_has_only_a_loopback_that_works(rig, isolation):
    out = rig.run(isolation, "ip", "-o", "link", network="none").out
    assert len(out.splitlines()) == 1
    assert "lo: <LOOPBACK,UP" in out


def test_network_host_is_the_hosts(rig, isolation):
    mine = os.readlink("/proc/self/ns/net")
    assert rig.run(isolation, "readlink", "/proc/self/ns/net").out.strip() == mine


def test_volumes(rig, isolation, tmp_path):
    folder = tmp_path / "shared"
    folder.mkdir()
    (folder / "in").write_text("from outside\n")
    (tmp_path / "file").write_text("a file\n")
    volumes = (
        Volume(str(folder), "/deep/er/data", False),
        Volume(str(folder), "/ro", True),
        Volume(str(tmp_path / "file"), "/deep/er/one", False),
    )
    script = "cat /deep/er/data/in /deep/er/one; echo new >/deep/er/data/out; echo x >/ro/x"
    said = rig.run(isolation, "sh", "-c", script, volumes=volumes)
    assert said.out == "from outside\na file\n"
    assert "Read-only" in said.err
    assert (folder / "out").read_text() == "new\n"
    assert rig.traces() == []


def test_a_volume_below_a_volume(rig, isolation, tmp_path):
    outer, inner = tmp_path / "outer", tmp_path / "inner"
    (outer / "sub").mkdir(parents=True)
    inner.mkdir()
    (inner / "x").write_text("inner\n")
    volumes = (Volume(str(inner), "/v/sub", True), Volume(str(outer), "/v", True))
    assert rig.run(isolation, "cat", "/v/sub/x", volumes=volumes).out == "inner\n"
    assert rig.traces() == []


@pytest.mark.parametrize("target", ["/", "/proc", "/proc/self", "relative"])
def test_a_volume_in_an_impossible_place(rig, isolation, target, tmp_path):
    with pytest.raises(UsageError):
        rig.run(isolation, "true", volumes=(Volume(str(tmp_path), target, False),))


def test_a_volume_without_a_source(rig, isolation):
    with pytest.raises(RuntimeFailure, match="/no/such/source"):
        rig.run(isolation, "true", volumes=(Volume("/no/such/source", "/v", False),))


def test_a_device_in_the_root_cannot_be_opened(unsettled, isolation):
    """Without a device control group, it is nodev that keeps the host's disks closed."""
    os.mknod(f"{unsettled.base}/disk", 0o60666, os.makedev(1, 0))
    os.mknod(f"{unsettled.base}/zero", 0o20666, os.makedev(1, 5))
    script = "mknod /made c 1 5; mknod /dev/made c 1 5; for d in /disk /zero /made /dev/made; do"
    script += " head -c 1 $d >/dev/null && echo open $d; done; head -c 1 /dev/zero | wc -c"
    said = unsettled.settle().run(isolation, "sh", "-c", script)
    assert said.out.split() == ["1"], said.err


def test_a_read_only_root(rig, isolation):
    said = rig.run(isolation, "sh", "-c", "echo x >/x", readonly_root=True)
    assert "Read-only" in said.err
    assert rig.traces() == []


def mounts_but_of_other_tests(rig):
    """What is mounted, without what other tests mount in their own folders meanwhile."""
    with open("/proc/self/mountinfo") as file:
        lines = file.readlines()
    places = tempfile.gettempdir(), "/dev/shm"
    return [line for line in lines if rig.folder in line or not line.split()[4].startswith(places)]


def test_nothing_is_mounted_on_the_host(rig, isolation):
    before = mounts_but_of_other_tests(rig)
    assert rig.run(isolation, "true").code == 0
    assert mounts_but_of_other_tests(rig) == before


def test_the_container_is_alone(rig, isolation):
    own = "2" if isolation == "chroot" else "1"  # the first in a chroot's is its supervisor
    assert rig.run(isolation, "sh", "-c", "echo $$").out == f"{own}\n"
    seen = rig.run(isolation, "sh", "-c", "cd /proc; echo [0-9]*").out.split()
    assert len(seen) <= 3


def test_a_daemon_that_is_left_behind_ends_with_the_command(rig, isolation):
    script = "setsid sh -c 'echo up; sleep 600' & sleep 0.1; exit 0"
    said = rig.run(isolation, "sh", "-c", script)  # or the pipe would never be at its end
    assert said == (0, "up\n", "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2])
def test_signals_reach_the_command(rig, isolation, number):
    name = number.name.removeprefix("SIG")
    script = f"trap 'echo got; exit 9' {name}; echo ready; while :; do sleep 0.05; done"
    reader, writer = os.pipe2(os.O_CLOEXEC)
    running = start(rig.job("sh", "-c", script), choose(isolation), Stdio(None, writer, None))
    os.close(writer)
    assert os.read(reader, 100) == b"ready\n"
    running.signal(number)
    assert running.wait().code == 9
    assert os.read(reader, 100) == b"got\n"
    os.close(reader)
    running.signal(number)  # nobody's process ID by now


@pytest.mark.parametrize("how", ["signal", "kill"])
def test_killing(rig, isolation, how):
    running = start(rig.job("sleep", "1000"), choose(isolation), Stdio(None, None, None))
    assert os.path.exists(f"/proc/{running.pid}")
    running.kill() if how == "kill" else running.signal(signal.SIGKILL)
    assert running.wait().code == 137
    assert running.wait().code == 137
    assert not os.path.exists(f"/proc/{running.pid}")
    assert rig.traces() == []
    assert set(os.listdir(rig.run_dir)) <= {"filters", isolation}
    assert rig.left_over() == []
    assert rig.run(isolation, "echo", "again").out == "again\n"


def test_killing_what_pid_names_kills_the_container(rig, isolation):
    running = start(rig.job("sleep", "1000"), choose(isolation), Stdio(None, None, None))
    os.kill(running.pid, signal.SIGKILL)
    assert running.wait().code == 137


def test_waiting_from_another_thread(rig, isolation):
    running = start(rig.job("sh", "-c", "exit 5"), choose(isolation), Stdio(None, None, None))
    found = []
    threads = [threading.Thread(target=lambda: found.append(running.wait().code)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [5, 5, 5]


def test_input_at_a_terminal_is_a_terminals(rig, isolation):
    reader, writer = os.pipe()
    try:
        with pytest.raises(UsageError, match="the input device is not a TTY"):
            run(rig.job("true", tty=True), choose(isolation), Stdio(reader, None, None))
    finally:
        os.close(reader)
        os.close(writer)


def test_a_terminal_without_input(rig, isolation):
    reader, writer = os.pipe()
    job = rig.job("sh", "-c", "test -t 0 && test -t 1 && echo at", tty=True)
    try:
        if isolation != "crun":
            with pytest.raises(UsageError, match="the input device is not a TTY"):
                run(job, choose(isolation), Stdio(None, writer, None))
            return
        before = os.listdir("/proc/self/fd")
        assert run(job, choose(isolation), Stdio(None, writer, None)).code == 0
        assert os.read(reader, 100) == b"at\r\n"
        assert os.listdir("/proc/self/fd") == before
    finally:
        os.close(reader)
        os.close(writer)


def test_a_terminal(rig, isolation):
    ours, theirs = os.openpty()
    script = "test -t 0 && echo a terminal; echo $TERM; read line; exit 6"
    job = rig.job("sh", "-c", script, tty=True)
    running = start(job, choose(isolation), Stdio(theirs, theirs, theirs))
    os.close(theirs)
    said = b""
    while b"xterm" not in said:
        said += os.read(ours, 1000)
    os.write(ours, b"\n")
    assert running.wait().code == 6
    os.close(ours)
    assert b"a terminal" in said


def test_the_callers_process_is_untouched(rig, isolation):
    before = (os.getcwd(), os.readlink("/proc/self/ns/mnt"), os.listdir("/proc/self/fd"))
    threads = threading.active_count()
    rig.run(isolation, "true")
    after = (os.getcwd(), os.readlink("/proc/self/ns/mnt"), os.listdir("/proc/self/fd"))
    assert (len(before[2]), before[:2]) == (len(after[2]), after[:2])
    assert threading.active_count() == threads


def test_a_lock_is_held_until_the_last_process_is_gone(rig, isolation, tmp_path):
    import fcntl

    path = str(tmp_path / "hold")
    others = tuple(str(tmp_path / f"other{number}") for number in range(4))
    job = rig.job("sleep", "1000")
    job = job._replace(plan=MountPlan(job.plan.root, (*others, path)))
    running = start(job, choose(isolation), Stdio(None, None, None))
    kept = f"/proc/{running.pid}/fd"
    held = {os.readlink(f"{kept}/{number}") for number in os.listdir(kept)}
    assert held >= {*others, path}, "whatever becomes of us, the container holds them"
    with open(path, "w") as file:
        with pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        running.kill()
        running.wait()
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize("isolation", ["crun", "runc"])
def test_an_interrupt_while_it_starts_leaves_nothing_of_it(rig, isolation, monkeypatch, tmp_path):
    """The signal comes when the runtime was just started, and nobody waits for it yet."""
    import fcntl

    from lamina.execution import oci

    spawned = []

    def spawn_and_interrupt(*given):
        spawned.append(oci_spawn(*given))
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        return spawned[0]

    oci_spawn = oci._spawn
    monkeypatch.setattr(oci, "_spawn", spawn_and_interrupt)
    path = str(tmp_path / "hold")
    job = rig.job("sleep", "1000")
    job = job._replace(plan=MountPlan(job.plan.root, (path,)))
    with pytest.raises(KeyboardInterrupt):
        start(job, choose(isolation), Stdio(None, None, None))
    assert not os.path.exists(f"/proc/{spawned[0]}")
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_few_modules_on_the_way(template, tmp_path, needs_program, needs_mounts):
    """`run` by crun is fast because it imports little: none of the heavy ones."""
    needs_program("crun")
    rig = Rig(str(tmp_path / "rig"), template, "flat").settle()
    rig.run("crun", "true")  # the first start makes its filter's program
    heavy = ("subprocess", "shutil", "tempfile", "pathlib", "logging", "socket", "dataclasses")
    script = f"""
import sys
from lamina.execution.run import Job, Stdio, run
from lamina.fs.mounting import Bind, MountPlan
from lamina.fs.tree import FlatTree
from lamina.runtime.isolation import choose
from lamina.runtime.process import Process
import os
root = {rig.upper!r}
view = lambda: FlatTree(os.open(root, os.O_RDONLY | os.O_DIRECTORY))
job = Job("c", MountPlan(Bind(root, False)), Process(("true",)), {rig.run_dir!r}, root, view)
assert run(job, choose("crun"), Stdio(None, None, None)).code == 0
print(len(sys.modules), *(set({heavy}) & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    said = done.stdout.split()
    assert said[1:] == []
    assert int(said[0]) <= 153


def test_the_programs_there_are(needs_mounts):
    assert find_program("no-such-program") is None
    with pytest.raises(UsageError, match="crun, runc, chroot"):
        choose("docker")
    assert choose(None).name == next(name for name in ISOLATIONS if _works(name))


def _works(name: str) -> bool:
    return name == "chroot" or find_program(name) is not None


def test_a_bind_that_is_read_only_says_so(rig, isolation):
    job = rig.job("true")
    job = job._replace(plan=MountPlan(Bind(rig.base, True)))
    with pytest.raises(RuntimeFailure, match="Read-only file system"):
        run(job, choose(isolation), Stdio(None, None, None))
    assert rig.left_over() == []
