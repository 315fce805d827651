"""Restart policies: a detached container is started again by its monitor, until it is stopped."""

import os
import signal
import subprocess
from contextlib import contextmanager

import pytest

import lamina
from tests.cli.rig import assert_complaint, told, until

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")


@contextmanager
def followed(store, *words):
    """A function that waits for the next event, and tells what happened."""
    form = ("--since", "0", "--format", "{{.Action}} {{.Actor.Attributes.exitCode}}")
    with subprocess.Popen(
        store.command("events", *words, *form), stdout=subprocess.PIPE, env=store.env, text=True
    ) as following:
        try:
            yield lambda: following.stdout.readline().replace("<no value>", "").strip()
        finally:
            following.kill()


def state(store, name):
    (document,) = told(store, "inspect", name)
    return document["State"], document["RestartCount"]


def last_end(store, name):
    """Wait until it is started no more; its exit status then."""
    with lamina.open(store.root, run_root=store.env["LAMINA_RUN_ROOT"]) as engine:
        return engine.containers.get(name).wait(last=True)


def test_a_failing_one_is_started_again_as_often_as_was_said(by_each):
    by_each.ok(
        *("run", "-d", "--name", "c1", "--restart", "on-failure:2", "base"),
        *("sh", "-c", "echo began >>/log; cat /log; exit 3"),
    )
    assert last_end(by_each, "c1") == 3
    assert by_each.ok("logs", "c1") == "began\n" * 6  # 1, 2 and 3: what it wrote stays
    found, restarts = state(by_each, "c1")
    assert (found["Status"], found["ExitCode"], restarts) == ("exited", 3, 2)
    with followed(by_each, "--filter", "container=c1") as following:
        assert [following() for _ in range(7)] == ["create", *["start", "die 3"] * 3]


def test_one_that_succeeds_has_not_failed(by_each):
    by_each.ok("run", "-d", "--name", "c1", "--restart", "on-failure", "base", "true")
    assert by_each.ok("wait", "c1") == "0\n"
    assert state(by_each, "c1")[1] == 0


def test_always_is_until_it_is_stopped(by_each):
    by_each.ok("run", "-d", "--name", "c1", "--restart", "always", "base", "sh", "-c", "exit 0")
    with followed(by_each, "--filter", "event=die") as following:
        assert [following() for _ in range(3)] == ["die 0"] * 3
    by_each.ok("stop", "c1")
    found, restarts = state(by_each, "c1")
    assert (found["Status"], found["Restarting"], found["Running"]) == ("exited", False, False)
    assert restarts >= 2
    by_each.ok("start", "c1")
    assert by_each.ok("ps", "-q")


def held_while_it_waits(store):
    """The monitor of a container that failed, held still where it waits to start it again."""
    store.ok("run", "-d", "--name", "c1", "--restart", "always", "base", "sh", "-c", "exit 7")
    with lamina.open(store.root, run_root=store.env["LAMINA_RUN_ROOT"]) as engine:
        keeper = engine.container_store.get("c1").row.pid
        os.kill(keeper, signal.SIGSTOP)
        while engine.containers.get("c1").status != "restarting":
            os.kill(keeper, signal.SIGCONT)
            os.kill(keeper, signal.SIGSTOP)
    return keeper


def test_while_it_waits_it_is_restarting(by_each):
    """Its monitor is held still where it waits: however long we look."""
    held_while_it_waits(by_each)
    found, _ = state(by_each, "c1")
    assert (found["Status"], found["Running"], found["Restarting"]) == ("restarting", True, True)
    assert found["ExitCode"] == 7
    assert by_each.ok("ps", "--format", "{{.Status}}").startswith("Restarting (7) ")
    assert by_each.ok("ps", "-q", "--filter", "status=restarting")
    assert_complaint(by_each("exec", "c1", "true"), "not running")
    assert_complaint(by_each("pause", "c1"), "started again")
    by_each.ok("rm", "-f", "c1")
    assert by_each.ok("ps", "-aq") == ""


def test_a_kill_from_outside_is_no_stop_but_ours_is(by_each):
    by_each.ok("run", "-d", "--name", "c1", "--restart", "unless-stopped", "base", "sleep", "1000")
    with followed(by_each, "--filter", "event=start") as following:
        following()
        os.kill(state(by_each, "c1")[0]["Pid"], signal.SIGKILL)
        following()
    assert state(by_each, "c1")[0]["Status"] == "running"
    by_each.ok("kill", "c1")
    assert by_each.ok("wait", "c1") == "137\n"
    assert state(by_each, "c1")[0]["Status"] == "exited"


def test_a_killed_monitor_takes_it_along(by_each):
    by_each.ok("run", "-d", "--name", "c1", "--restart", "always", "base", "sleep", "1000")
    first = state(by_each, "c1")[0]["Pid"]
    with open(f"/proc/{first}/stat", encoding="ascii") as file:
        keeper = int(file.read().rpartition(")")[2].split()[1])
    with followed(by_each, "--filter", "event=die") as following:
        os.kill(keeper, signal.SIGKILL)
        assert following() == "die 137"
    assert state(by_each, "c1")[0]["Status"] == "exited"


def test_in_the_foreground_all_its_runs_are_shown(by_each):
    said = by_each("run", "--restart", "on-failure:1", "base", "sh", "-c", "echo out; exit 7")
    assert (said.code, said.out) == (7, "out\nout\n")


def test_a_terminal_is_its_own_each_time(by_each):
    by_each.ok(
        *("run", "-dt", "--name", "c1", "--restart", "on-failure:1", "base"),
        *("sh", "-c", "tty; exit 7"),
    )
    assert last_end(by_each, "c1") == 7
    assert by_each.ok("logs", "c1").split() == ["/dev/pts/0"] * 2


def test_a_start_that_fails_at_a_terminal_is_tried_again(by_each):
    by_each.ok(
        *("run", "-dt", "--name", "c1", "--restart", "on-failure:3", "base"),
        *("sh", "-c", "rm /bin/sh; exit 3"),
    )
    with followed(by_each, "--filter", "event=die") as following:
        assert [following() for _ in range(4)] == ["die 3", *["die 128"] * 3]
    by_each.ok("stop", "c1")
    found, restarts = state(by_each, "c1")
    assert (found["Status"], found["ExitCode"], restarts) == ("exited", 128, 3)


def test_one_that_waits_when_its_monitor_is_killed_has_ended_as_it_had(by_each):
    os.kill(held_while_it_waits(by_each), signal.SIGKILL)
    with followed(by_each, "--until", "0s") as following:
        dies = [each for each in iter(following, "") if each.startswith("die")]
    found, restarts = state(by_each, "c1")
    assert (found["Status"], found["ExitCode"]) == ("exited", 7)
    assert dies == ["die 7"] * (restarts + 1)


def test_health_begins_anew(by_each):
    by_each.ok(
        *("run", "-d", "--name", "c1", "--restart", "always", "--health-cmd", "test -e /well"),
        *("--health-interval", "50ms", "base", "sh", "-c", "echo >/well; exec sleep 1000"),
    )
    with followed(by_each, "--filter", "event=health_status") as following:
        assert following() == "health_status: healthy"
        os.kill(state(by_each, "c1")[0]["Pid"], signal.SIGKILL)
        assert following() == "health_status: healthy"


def test_another_policy_holds_from_now_on(by_each):
    """Nothing of it was told of before: whoever follows hears of the restarts all the same."""
    by_each.ok("run", "-d", "--name", "c1", "base", "sleep", "1000")
    with followed(by_each, "--filter", "container=c1", "--filter", "event=die") as following:
        assert by_each.ok("update", "--restart", "always", "c1") == "c1\n"
        for _ in range(2):
            os.kill(state(by_each, "c1")[0]["Pid"], signal.SIGKILL)
            assert following() == "die 137"
            until(lambda: state(by_each, "c1")[0]["Status"] == "running")
        by_each.ok("update", "--restart", "on-failure:5", "c1")
        by_each.ok("update", "--restart", "no", "c1")
        os.kill(state(by_each, "c1")[0]["Pid"], signal.SIGKILL)
        assert last_end(by_each, "c1") == 137
    (document,) = told(by_each, "inspect", "c1")
    assert (document["State"]["Status"], document["RestartCount"]) == ("exited", 2)
    assert document["HostConfig"]["RestartPolicy"]["Name"] == "no"


def test_a_policy_that_began_late_ends_with_a_stop(by_each):
    by_each.ok("run", "-d", "--name", "c1", "base", "sleep", "1000")
    by_each.ok("update", "--restart", "always", "c1")
    by_each.ok("stop", "-t", "0", "c1")
    assert state(by_each, "c1")[0]["Status"] == "exited"
    by_each.ok("update", "--restart", "on-failure:1", "c1")
    assert told(by_each, "inspect", "c1")[0]["HostConfig"]["RestartPolicy"] == {
        "Name": "on-failure",
        "MaximumRetryCount": 1,
    }
    assert_complaint(by_each("update", "--restart", "often", "c1"), "no restart policy 'often'")
    by_each.ok("run", "-d", "--rm", "--name", "c2", "base", "sleep", "1000")
    assert_complaint(by_each("update", "--restart", "always", "c2"), "not started again")


def test_what_is_removed_is_not_started_again(base):
    assert_complaint(
        base("run", "-d", "--rm", "--restart", "always", "base", "true"),
        "not started again",
        code=125,
    )
    base.ok("create", "--name", "c1", "--restart", "unless-stopped", "base", "true")
    base.ok("create", "--name", "c2", "base", "true")
    names = ("--format", "{{.Names}}")
    assert base.ok("ps", "-a", "--filter", "restart-policy=unless-stopped", *names) == "c1\n"
