"""`events`: what happened to containers, images and volumes, in docker's words."""

import json
import os
import signal
import subprocess
import time
from contextlib import contextmanager

import pytest

from tests.cli.rig import assert_complaint, told

with_containers = pytest.mark.usefixtures("needs_root", "needs_mounts")
_PATIENCE = 20.0  # seconds; a bound, never a wait


@pytest.fixture
def apart(cleared, needs_program):
    """A store with the image `base`, by crun."""
    needs_program("crun")
    return cleared


def happened(lamina, *filters):
    """The same, as type, action and what else is told beside image and name."""
    words = [word for each in filters for word in ("--filter", each)]
    end = str(time.time())
    text = lamina.ok("events", "--since", "0", "--until", end, *words, "--format", "json")
    found = []
    for event in map(json.loads, text.splitlines()):
        attributes = event["Actor"]["Attributes"]
        more = [f"{key}={attributes[key]}" for key in ("signal", "exitCode") if key in attributes]
        found.append(" ".join([event["Type"], event["Action"], *more]))
    return found


@contextmanager
def followed(lamina, *words):
    """A function that reads the next event that a live `events` shows."""
    command = lamina.command("events", "--format", "json", *words)
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=lamina.env
    ) as process:
        try:
            yield lambda: json.loads(process.stdout.readline())
        finally:
            process.kill()


@with_containers
def test_a_detached_life_is_told(apart):
    apart.ok("run", "-d", "--name", "c1", "base", "sleep", "1000")
    assert apart("exec", "c1", "sh", "-c", "exit 4").code == 4
    apart.ok("pause", "c1")
    apart.ok("unpause", "c1")
    apart.ok("rename", "c1", "c2")
    apart.ok("restart", "-t", "0", "c2")
    apart.ok("kill", "c2")
    apart.ok("rm", "-f", "c2")
    assert happened(apart, "type=container") == [
        "container create",
        "container start",
        "container exec_create: sh -c exit 4",
        "container exec_start: sh -c exit 4",
        "container exec_die exitCode=4",
        "container pause",
        "container unpause",
        "container rename",
        "container kill signal=15",
        "container kill signal=9",
        "container die exitCode=137",
        "container stop",
        "container start",
        "container restart",
        "container kill signal=9",
        "container die exitCode=137",
        "container destroy",
    ]


@with_containers
def test_a_run_in_the_foreground_is_told(apart):
    assert apart("run", "--rm", "base", "sh", "-c", "exit 3").code == 3
    assert happened(apart, "type=container") == [
        "container create",
        "container start",
        "container die exitCode=3",
        "container destroy",
    ]


@with_containers
@pytest.mark.parametrize("how", [[], ["-d"]])
def test_what_could_not_be_started_did_not_start(apart, how):
    assert apart("run", *how, "--name", "c1", "base", "/none").code == 127
    assert happened(apart, "type=container") == ["container create"]


@with_containers
def test_an_end_is_told_though_nothing_asks_for_it(apart):
    apart.ok("run", "-d", "--name", "c1", "--label", "a=b", "base", "sleep", "1000")
    (document,) = told(apart, "inspect", "c1")
    with followed(apart, "--since", "0", "--filter", "type=container") as following:
        assert [following()["Action"] for _ in range(2)] == ["create", "start"]
        os.kill(document["State"]["Pid"], signal.SIGKILL)
        event = following()
    assert event["Action"] == event["status"] == "die"
    assert event["Actor"]["ID"] == event["id"] == document["Id"]
    attributes = event["Actor"]["Attributes"]
    assert attributes.pop("execDuration").isdecimal()
    assert attributes == {"image": "base", "name": "c1", "a": "b", "exitCode": "137"}
    assert event["from"] == "base"
    assert event["time"] == event["timeNano"] // 1_000_000_000
    (now,) = told(apart, "inspect", "c1")
    assert (now["State"]["Status"], now["State"]["ExitCode"]) == ("exited", 137)
    assert happened(apart, "event=die") == ["container die exitCode=137"]


@with_containers
def test_a_killed_monitor_is_told_as_the_end_it_is(apart):
    apart.ok("run", "-d", "--name", "c1", "base", "sleep", "1000")
    keeper = int(told(apart, "inspect", "c1")[0]["State"]["Pid"])
    with open(f"/proc/{keeper}/stat", encoding="ascii") as file:
        keeper = int(file.read().rpartition(")")[2].split()[1])  # who keeps it is its parent
    with followed(apart, "--filter", "event=die", "--since", "0") as following:
        os.kill(keeper, signal.SIGKILL)
        assert following()["Actor"]["Attributes"]["exitCode"] == "137"


@with_containers
def test_one_that_is_removed_at_its_end_is_told_to_have_ended(apart):
    apart.ok("run", "-d", "--rm", "--name", "c1", "base", "sh", "-c", "exit 5")
    with followed(apart, "--since", "0", "--filter", "container=c1") as following:
        seen = [following() for _ in range(4)]
    assert [each["Action"] for each in seen] == ["create", "start", "die", "destroy"]
    assert seen[2]["Actor"]["Attributes"]["exitCode"] == "5"


def test_images_are_told_by_the_names_docker_uses(base):
    image = base.ok("images", "-q", "--no-trunc").strip()
    base.ok("tag", "base", "two:1")
    base.ok("save", "-o", f"{base.folder}/saved", "base")
    base.ok("rmi", "two:1")
    base.ok("rmi", "base")
    base.ok("load", "-i", f"{base.folder}/saved")
    lines = base.ok(
        *("events", "--since", "0", "--until", str(time.time()), "--filter", "type=image"),
        *("--format", "{{.Action}} {{.Actor.ID}} {{.Actor.Attributes.name}} {{.From}}{{.Scope}}"),
    )
    assert lines.splitlines() == [
        f"tag {image} base:latest local",
        f"import {image} {image} local",
        f"tag {image} two:1 local",
        f"save {image} {image} local",
        f"untag {image} {image} local",
        f"untag {image} {image} local",
        f"delete {image} {image} local",
        f"load {image} {image} local",
    ]


def test_what_fails_is_not_told(base):
    base.ok("create", "--name", "c1", "base", "true")
    assert_complaint(base("create", "--name", "c1", "base", "true"), "in use")
    assert happened(base, "type=container") == ["container create"]


def test_volumes_are_told(base):
    base.ok("volume", "create", "v1")
    base.ok("volume", "rm", "v1")
    assert happened(base, "volume=v1") == ["volume create", "volume destroy"]


def test_filters_narrow_down_as_docker_does(base):
    base.ok("create", "--name", "c1", "--label", "a=b", "--label", "c", "base", "true")
    base.ok("create", "--name", "c2", "--label", "a=x", "base", "true")
    for filters, count in (
        (["container=c1"], 1),
        (["container=c1", "container=c2"], 2),
        (["label=a"], 2),
        (["label=a", "label=c"], 1),
        (["label=a=x"], 1),
        (["image=base"], 3),  # two that were made of it, and its own tag
        (["image=base", "event=create"], 2),
        (["event=exec_create"], 0),
        (["scope=swarm"], 0),
        (["network=none"], 0),
    ):
        assert len(happened(base, *filters)) == count, filters
    assert_complaint(base("events", "--filter", "colour=red"), "Invalid filter 'colour'")
    assert_complaint(base("events", "--filter", "type"), "no value")


def test_the_plain_form_is_dockers(base):
    base.env["TZ"] = "XXX-05:30"
    base.ok("create", "--name", "c1", "--label", "a=b", "base", "true")
    container = base.ok("ps", "-aq", "--no-trunc").strip()
    (line,) = base.ok(
        "events", "--since", "1h", "--until", str(time.time()), "-f", "type=container"
    ).splitlines()
    moment, _, rest = line.partition(" ")
    assert rest == f"container create {container} (a=b, image=base, name=c1)"
    assert len(moment) == len("2026-01-31T12:00:00.123456789+05:30")
    assert moment.endswith("+05:30")
