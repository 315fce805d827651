"""`run` at a terminal, and with standard input that ends early or is long."""

import os
import subprocess

import pytest

from tests.cli.terminal import PATIENCE, Terminal

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")
ISOLATIONS = ("crun", "runc", "chroot")


@pytest.fixture(params=ISOLATIONS)
def isolated(base, request, needs_program):
    if request.param != "chroot":
        needs_program(request.param)
    base.env["LAMINA_ISOLATION"] = request.param
    return base


@pytest.fixture
def terminal(isolated):
    """A function that starts `lamina run -it --name c1 base WORDS` at a terminal of 33 by 77."""
    made = []

    def start(*words, flags=("-it",)):
        command = isolated.command("run", *flags, "--name", "c1", "base", *words)
        made.append(Terminal(command, isolated.env, isolated.folder, (33, 77)))
        return made[-1]

    yield start
    for each in made:
        each.close()


def test_a_shell_at_a_terminal(terminal):
    at = terminal("sh", "-c", 'test -t 0 && echo at $(stty size); read x; echo "<$x>"; exit 7')
    at.see(b"at 33 77")
    at.type(b"hello\r")
    at.see(b"<hello>")
    assert at.end() == 7


@pytest.mark.parametrize("lines", [1, 2000])
def test_what_a_short_command_writes_is_never_lost(terminal, lines):
    at = terminal("seq", str(lines))
    at.see(b"%d\r" % lines)
    assert at.end() == 0


@pytest.mark.parametrize("verb", ["run", "exec"])
def test_a_runtime_that_comes_late_loses_nothing(base, needs_program, verb):
    """By a crun that is held up until its command has ended."""
    held_up = "inject=epoll_create1:delay_enter=200000"  # microseconds
    words = (needs_program("strace"), "-o", "/dev/null", "-e", held_up, needs_program("crun"))
    base.write("bin/crun", f'#!/bin/sh\nexec {" ".join(words)} "$@"\n')
    os.chmod(os.path.join(base.folder, "bin/crun"), 0o755)
    base.env["PATH"] = f"{base.folder}/bin:{base.env['PATH']}"
    base.env["LAMINA_ISOLATION"] = "crun"
    base.ok("run", "-d", "--name", "up", "base", "sleep", "1000")
    place = ("up",) if verb == "exec" else ("base",)
    command = base.command(verb, "-it", *place, "echo", "said")
    at = Terminal(command, base.env, base.folder, (33, 77))
    try:
        at.see(b"said\r")
        assert at.end() == 0
    finally:
        at.close()
        base.ok("rm", "-f", "up")


def test_a_new_size_is_the_containers_too(terminal):
    at = terminal(
        "sh", "-c", "trap 'echo now $(stty size)' WINCH; echo up; while :; do sleep 0.1; done"
    )
    at.see(b"up")
    at.resize(44, 99)
    at.see(b"now 44 99")


_COUNTING = "n=0; trap 'n=$((n+1)); echo caught $n' INT; echo up; until read x; do :; done; exit $n"


@pytest.mark.parametrize("flags", [("-it",), ("-i",)])
def test_ctrl_c_reaches_the_command_once(terminal, flags):
    at = terminal("sh", "-c", _COUNTING, flags=flags)
    at.see(b"up")
    at.type(b"\x03")
    at.see(b"caught 1")
    at.type(b"\n")
    assert at.end() == 1


def test_a_killed_container_leaves_the_terminal_as_it_was(terminal, isolated):
    at = terminal("sh", "-c", "echo up; sleep 1000")
    at.see(b"up")
    isolated.ok("rm", "-f", "c1")
    assert at.end() == 137


def test_a_terminal_that_hangs_up_takes_the_container_along(terminal, isolated):
    shell = terminal("sh", "-c", "trap '' HUP; echo ready; while :; do sleep 1; done")
    shell.see(b"ready")
    shell.hang_up()
    shell.process.wait(PATIENCE)
    assert "Exited (137)" in isolated.ok("ps", "-a", "--format", "{{.Status}}")
    assert isolated.ok("rm", "c1")


def test_a_command_that_is_not_there(terminal):
    at = terminal("none")
    assert at.end() == 127
    at.see(b"executable file not found in $PATH")


def test_a_terminal_is_asked_for_where_there_is_none(isolated):
    said = isolated("run", "--rm", "-it", "base", "true")
    assert said.code in (1, 125)
    assert said.err.count("\n") == 1
    assert "TTY" in said.err or "terminal" in said.err


def test_input_that_ends_at_once_and_input_that_nobody_reads(isolated):
    assert isolated.ok("run", "--rm", "-i", "base", "cat", stdin=b"") == ""
    said = isolated("run", "--rm", "-i", "base", "head", "-c", "3", stdin=b"x" * (4 << 20))
    assert (said.code, said.out) == (0, "xxx")


def test_long_input_arrives_whole(isolated):
    data = os.urandom(1 << 16) * 96  # 6 MiB
    command = isolated.command("run", "--rm", "-i", "base", "sha256sum")
    done = subprocess.run(command, input=data, env=isolated.env, capture_output=True, check=True)
    import hashlib

    assert done.stdout.split()[0].decode() == hashlib.sha256(data).hexdigest()


def test_closed_descriptors_are_no_error(isolated):
    command = " ".join(isolated.command("run", "--rm", "-i", "base", "true"))
    for closed in ("<&-", ">&-", "2>&-"):
        done = subprocess.run(
            ["sh", "-c", f"exec {command} {closed}"], env=isolated.env, check=False
        )
        assert done.returncode == 0, closed
