"""A running container held still: nothing of it moves, and all of it goes on whatever happens."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress

from lamina.execution.family import Family
from lamina.execution.inside import children
from lamina.execution.pausing import paused
from lamina.execution.run import Stdio, start
from lamina.runtime.isolation import choose

PATIENCE = 60.0
# Two shells that write numbers, each starting programs all the time, and one that stopped itself.
BUSY = """
sleep 1000 & echo $! >/stopped; kill -STOP $!
count() { while :; do n=$((n + 1)); echo $n >/$1; /bin/true; done; }
count one &
echo up
count two
"""
# Sixty that let everybody go on, all the time.
STUBBORN = """
n=0; while [ $n -lt 60 ]; do n=$((n + 1)); while :; do kill -CONT -1; done & done
count() { while :; do n=$((n + 1)); echo $n >/$1; /bin/true; done; }
count one &
echo up
count two
"""
CROWD = """
n=0; while [ $n -lt 600 ]; do n=$((n + 1)); sleep 1000 & done
count() { while :; do n=$((n + 1)); echo $n >/$1; /bin/true; done; }
count one &
echo up
count two
"""
HOLDING = """
import sys
from lamina.execution.pausing import paused
with paused(int(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def busy(rig, isolation, script=BUSY):
    reader, writer = os.pipe()
    running = start(rig.job("sh", "-c", script), choose(isolation), Stdio(None, writer, None))
    os.close(writer)
    try:
        assert os.read(reader, 3) == b"up\n"
        yield running
    finally:
        os.close(reader)
        running.kill()
        running.wait()


def counts(rig):
    found = []
    for name in ("one", "two"):
        try:
            with open(f"{rig.upper}/{name}") as file:
                found.append(file.read())
        except FileNotFoundError:
            found.append("")
    return found


def states(pids):
    """Of those that are there still: who was dead already is waited for by one who is not held."""
    found = {}
    for pid in pids:
        with suppress(FileNotFoundError, ProcessLookupError), open(f"/proc/{pid}/stat") as file:
            found[pid] = file.read().rpartition(")")[2].split()[0]
    return found


def stopped(family):
    now = states(family.members())
    assert set(now.values()) <= {"T", "Z"}
    return {pid for pid, state in now.items() if state == "T"}


def until(condition):
    limit = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < limit, "it never came"
        os.sched_yield()


def goes_on(rig):
    first = counts(rig)
    until(lambda: all(now not in ("", then) for now, then in zip(counts(rig), first, strict=True)))


def test_nothing_moves_meanwhile_and_all_goes_on(rig, isolation):
    with busy(rig, isolation) as running:
        for _ in range(20):
            goes_on(rig)
            with paused(running.pid):
                family = Family(running.pid)
                still = stopped(family)
                assert len(still) >= 3
                then = counts(rig)
                goes_nowhere = [counts(rig) for _ in range(200)]
                assert goes_nowhere == [then] * 200
                assert stopped(family) == still
        goes_on(rig)


def test_those_who_let_each_other_go_on_are_stopped_all_the_same(rig, isolation):
    with busy(rig, isolation, STUBBORN) as running:
        for _ in range(20):
            with paused(running.pid):
                assert set(states(Family(running.pid).members()).values()) <= {"T", "Z"}
        goes_on(rig)


def test_what_had_stopped_by_itself_stays_so(rig, isolation):
    with busy(rig, isolation) as running:
        until(lambda: "T" in states(Family(running.pid).members()).values())
        with paused(running.pid):
            pass
        goes_on(rig)
        assert "T" in states(Family(running.pid).members()).values()


def test_who_pauses_and_is_killed_leaves_nobody_stopped(rig, isolation):
    with busy(rig, isolation) as running:
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLDING, str(running.pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert holder.stdout.readline() == b"held\n"
        assert set(states(Family(running.pid).members()).values()) <= {"T", "Z"}
        holder.kill()
        holder.communicate()
        goes_on(rig)


def test_a_guard_that_is_killed_leaves_nobody_stopped(rig, isolation):
    with busy(rig, isolation) as running:
        before = set(children(os.getpid()))
        with paused(running.pid):
            (guard,) = set(children(os.getpid())) - before
            os.kill(guard, signal.SIGKILL)
        goes_on(rig)


def test_a_container_that_is_paused_can_be_killed(rig, isolation):
    with busy(rig, isolation) as running, paused(running.pid):
        running.signal(signal.SIGKILL)
        assert running.wait().code == 137
    assert rig.left_over() == []


def test_one_that_has_ended_holds_nobody(rig, isolation):
    running = start(rig.job("true"), choose(isolation), Stdio(None, None, None))
    assert running.wait().code == 0
    with paused(running.pid):
        assert Family(running.pid).members() == []


def test_more_than_the_guard_is_told_of_at_once_are_stopped_and_go_on(rig, isolation):
    with busy(rig, isolation, CROWD) as running:
        with paused(running.pid):
            found = states(Family(running.pid).members())
            assert len(found) > 600
            assert set(found.values()) <= {"T", "Z"}
        until(lambda: "T" not in states(Family(running.pid).members()).values())
        goes_on(rig)


def test_a_process_that_has_got_the_number_of_one_that_ended_is_not_touched(
    rig, isolation, monkeypatch
):
    """Numbers go round: what was found in the container may be somebody else's by now."""
    stranger = subprocess.Popen(["sleep", "1000"])
    found = Family.members
    stale = [stranger.pid]

    def members(family):
        return [*found(family), *[stale.pop() for _ in stale[:1]]]

    monkeypatch.setattr(Family, "members", members)
    try:
        with busy(rig, isolation) as running, paused(running.pid):
            assert stale == []
            assert states([stranger.pid]) != {stranger.pid: "T"}
            assert set(states(Family(running.pid).members()).values()) <= {"T", "Z"}
    finally:
        stranger.kill()
        stranger.wait()
