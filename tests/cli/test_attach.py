"""Attached to containers: what is typed, what is shown, how one leaves."""

import os
import socket
import subprocess
from contextlib import ExitStack, contextmanager

import pytest

import lamina
from lamina.execution.attached import OUTPUT, joined
from tests.cli.rig import assert_complaint, until, until_told
from tests.cli.terminal import Terminal
from tests.cli.test_detached import apart, by_either, see, state

__all__ = ["apart"]

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")
_SHELL = 'test -t 0 && echo at; while read x; do echo "<$x> $(stty size)"; done; exit 6'


@pytest.fixture
def at(apart):
    """A function that runs the command at a terminal of 33 by 77."""
    made = []

    def start(*words):
        made.append(Terminal(apart.command(*words), apart.env, apart.folder, (33, 77)))
        return made[-1]

    yield start
    for each in made:
        each.close()


@by_either
def test_a_terminal_is_attached_to_left_and_attached_to_again(apart, at):
    apart.ok("run", "-dit", "--name", "c1", "base", "sh", "-c", _SHELL)
    see(apart, "c1", "at")
    first = at("attach", "c1")
    first.type(b"hello\r")
    first.see(b"<hello> 33 77")
    first.type(b"\x10\x11")
    assert first.end() == 0
    assert state(apart, "c1")["Running"]
    second = at("attach", "--detach-keys", "ctrl-x,y", "c1")
    second.type(b"\x10z\r")
    second.see(b"<\x10z>")
    second.type(b"\x04")
    assert second.end() == 6
    assert apart.ok("wait", "c1") == "6\n"


def test_who_ended_its_input_and_leaves_makes_room(apart):
    """Of a container that writes nothing nobody hears that a listener is gone."""
    apart.ok("run", "-d", "--name", "c1", "base", "sleep", "1000")
    with lamina.open(apart.root, run_root=apart.env["LAMINA_RUN_ROOT"]) as engine:
        keeper, box = engine.container_store.get("c1").row.pid, engine.containers.get("c1").id
        path = os.path.join(engine.run_root, box, "attach")

    def held():
        return len(os.listdir(f"/proc/{keeper}/fd"))

    before = held()
    with joined(path, OUTPUT) as client:
        client.shutdown(socket.SHUT_WR)
        until(lambda: held() > before)
        apart.ok("ps")  # by now it has read that there is no input
    until(lambda: held() == before)


def test_a_new_size_is_the_containers_too(apart, at):
    script = "trap 'echo now $(stty size)' WINCH; echo up; while :; do sleep 0.1; done"
    apart.ok("create", "-t", "--name", "c1", "base", "sh", "-c", script)
    terminal = at("start", "-a", "c1")
    terminal.see(b"up")
    terminal.resize(44, 99)
    terminal.see(b"now 44 99")
    apart.ok("kill", "c1")
    assert terminal.end() == 137


@by_either
def test_a_start_at_a_terminal(apart, at):
    apart.ok("create", "-it", "--name", "c1", "base", "sh", "-c", _SHELL)
    terminal = at("start", "-ai", "c1")
    terminal.see(b"at")
    terminal.type(b"x\r")
    terminal.see(b"<x> 33 77")
    terminal.type(b"\x04")
    assert terminal.end() == 6


@contextmanager
def attached(command, env):
    """A command with pipes; it ends with the block, also where a test fails in it."""
    ends = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=env, **ends) as process:
        try:
            yield process
        finally:
            process.kill()


def test_several_hear_the_same_and_signals_are_handed_on(apart):
    script = "trap 'echo asked >&2; exit 5' TERM; while read x; do echo \"<$x>\"; done; sleep 1000"
    apart.ok("run", "-di", "--name", "c1", "base", "sh", "-c", f"echo up; {script}")
    see(apart, "c1", "up")
    command = apart.command("attach", "c1")
    with ExitStack() as stack:
        one, two = (stack.enter_context(attached(command, apart.env)) for _ in range(2))
        one.stdin.write(b"a\n")
        one.stdin.flush()
        assert one.stdout.readline() == b"<a>\n"
        two.stdin.write(b"b\n")
        two.stdin.flush()
        assert one.stdout.readline() == b"<b>\n"
        assert b"<b>\n" in iter(two.stdout.readline, b"")  # after what it came in time for
        one.terminate()
        assert one.communicate()[1] == b"asked\n"
        assert (one.wait(), two.wait()) == (5, 5)


def test_what_nobody_can_attach_to(apart):
    apart.ok("create", "--name", "c1", "base", "true")
    assert_complaint(apart("attach", "c1"), "is not running")
    assert_complaint(apart("attach", "--detach-keys", "ctrl-", "c1"), "ctrl-")
    with subprocess.Popen(
        apart.command("run", "--name", "c2", "base", "sh", "-c", "echo up; sleep 1000"),
        env=apart.env,
        stdout=subprocess.PIPE,
    ) as foreground:
        assert foreground.stdout.readline() == b"up\n"
        until_told(apart, "c2")
        assert_complaint(apart("attach", "c2"), "in the foreground")
        foreground.kill()


@by_either
def test_a_build_server_may_ask_for_a_terminal_that_it_has_not(apart):
    said = apart("run", "--rm", "-t", "base", "sh", "-c", "test -t 1 && echo at; exit 6")
    assert (said.code, said.out) == (6, "at\r\n")
    assert apart.ok("ps", "-aq") == ""
    said = apart("run", "--rm", "-it", "base", "true")
    assert_complaint(said, "the input device is not a terminal")


def test_what_is_sent_to_a_shown_terminal_goes_to_the_container(apart):
    script = "trap 'exit 4' TERM; echo up; while :; do sleep 0.1; done"
    words = apart.command("run", "--rm", "-t", "base", "sh", "-c", script)
    with subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=apart.env, cwd=apart.folder
    ) as shown:
        assert shown.stdout.read(4) == b"up\r\n"
        shown.terminate()
        assert shown.wait(60) == 4
