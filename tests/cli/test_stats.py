"""`stats`: what running containers use, by their control groups or by their processes."""

import json
import re
import subprocess

import pytest

from lamina.values.size import parse
from tests.cli.rig import assert_complaint

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")
_HOLDS = "a=$(head -c 9000000 /dev/zero | tr '\\0' x); echo up; while :; do :; done"


@pytest.fixture
def apart(cleared, needs_program):
    """A store with the image `base`, by crun."""
    needs_program("crun")
    return cleared


def stats(lamina, *words):
    text = lamina.ok("stats", "--no-stream", "--format", "json", *words)
    return {row["Name"]: row for row in map(json.loads, text.splitlines())}


def begun(lamina, name, *flags):
    """A container that holds 9 MB and keeps a processor busy."""
    lamina.ok("run", "-d", "--name", name, *flags, "base", "sh", "-c", _HOLDS)
    with subprocess.Popen(
        lamina.command("logs", "-f", name), stdout=subprocess.PIPE, env=lamina.env
    ) as following:
        assert following.stdout.readline() == b"up\n"
        following.kill()


@pytest.mark.parametrize("limited", [False, True])
def test_what_a_container_uses(apart, limited):
    begun(apart, "c1", *(("-m", "64m") if limited else ()))
    row = stats(apart)["c1"]
    assert row["ID"] == row["Container"] == apart.ok("ps", "-q").strip()
    assert float(row["CPUPerc"].removesuffix("%")) > 0
    used, limit = row["MemUsage"].split(" / ")
    assert 9_000_000 <= parse(used) < 64 << 20
    assert (limit == "64MiB") is limited
    assert float(row["MemPerc"].removesuffix("%")) >= 0
    assert row["PIDs"] == "1"
    assert row["NetIO"] == "0B / 0B"


def test_only_those_that_are_named_or_run_unless_all_are_asked_for(apart):
    apart.ok("run", "-d", "--name", "c1", "base", "sleep", "1000")
    apart.ok("run", "-d", "--name", "c2", "base", "sleep", "1000")
    apart.ok("create", "--name", "c3", "base", "true")
    assert set(stats(apart)) == {"c1", "c2"}
    assert set(stats(apart, "c2")) == {"c2"}
    everything = stats(apart, "-a")
    assert set(everything) == {"c1", "c2", "c3"}
    assert everything["c3"]["MemUsage"] == "-- / --"
    assert_complaint(apart("stats", "--no-stream", "c4"), "no such container: c4")


def test_the_table_is_dockers_and_goes_on(apart):
    apart.ok("run", "-d", "--name", "c1", "base", "sleep", "1000")
    with subprocess.Popen(
        apart.command("stats"), stdout=subprocess.PIPE, env=apart.env, text=True
    ) as going:
        lines = [going.stdout.readline() for _ in range(4)]
        going.kill()
    assert re.split(r"\s{3,}", lines[0].strip()) == [
        *("CONTAINER ID", "NAME", "CPU %", "MEM USAGE / LIMIT"),
        *("MEM %", "NET I/O", "BLOCK I/O", "PIDS"),
    ]
    assert lines[2] == lines[0]
    assert "c1" in lines[1]
    assert "c1" in lines[3]


def test_from_python_two_looks_tell_what_was_used(apart):
    import lamina
    from lamina.views.stats import Measured, stats_document

    begun(apart, "c1", "-m", "64m")
    with lamina.open(apart.root, run_root=apart.env["LAMINA_RUN_ROOT"]) as engine:
        container = engine.containers.get("c1")
        before, now = container.usage(), container.usage()
        assert now.cpu >= before.cpu > 0
        assert now.system >= before.system
        document = stats_document(Measured(container, before, now))
        container.kill()
        container.wait()
        assert container.usage() is None
    assert document["cpu_stats"]["cpu_usage"]["total_usage"] == now.cpu
    assert document["precpu_stats"]["cpu_usage"]["total_usage"] == before.cpu
    memory = document["memory_stats"]
    assert memory["limit"] == 64 << 20
    assert memory["usage"] - memory["stats"]["inactive_file"] == now.memory
