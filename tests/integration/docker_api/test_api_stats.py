"""What containers use, by docker's own clients against `lamina serve`."""

import json

import pytest

from tests.integration.docker_api.rig import connected

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")
RUN = ("run", "--network", "none")
LOOP = ("sh", "-c", "while :; do :; done")


@pytest.fixture(autouse=True)
def _needs_crun(needs_program):
    needs_program("crun")


def test_the_table_tells_of_who_runs(docker, base):
    docker.ok(*RUN, "-d", "--name", "busy", "-m", "64m", "base", *LOOP)
    docker.ok(*RUN, "-d", "--name", "idle", "base", "sleep", "1000")
    form = "{{.Name}} {{.CPUPerc}} {{.MemUsage}} {{.PIDs}}"
    rows = [
        line.split() for line in docker.ok("stats", "--no-stream", "--format", form).splitlines()
    ]
    found = {row[0]: row[1:] for row in rows}
    assert found.keys() == {"busy", "idle"}
    assert float(found["busy"][0].rstrip("%")) > 10 > float(found["idle"][0].rstrip("%"))
    assert found["busy"][3] == "64MiB"
    assert found["idle"][-1] == "1"
    assert "No such container" in docker.fails("stats", "--no-stream", "none")


def test_a_stream_goes_on_from_the_look_before_and_ends_with_its_container(docker, server, base):
    docker.ok(*RUN, "-d", "--name", "busy", "base", *LOOP)
    with connected(server.path) as client:
        client.sendall(b"GET /containers/busy/stats HTTP/1.1\r\nHost: d\r\n\r\n")
        lines = client.makefile("rb")
        looks = [record(lines) for _ in range(2)]
        docker.ok("rm", "-f", "busy")
        assert b"0\r\n" in lines  # the last chunk
    assert looks[0]["precpu_stats"]["cpu_usage"]["total_usage"] == 0
    assert looks[1]["precpu_stats"] == looks[0]["cpu_stats"]
    used = [look["cpu_stats"]["cpu_usage"]["total_usage"] for look in looks]
    assert used[0] < used[1]
    assert looks[1]["preread"] == looks[0]["read"]


def record(lines):
    """The next one of a stream in chunks."""
    for line in lines:
        if line.startswith(b"{"):
            return json.loads(line)
    raise AssertionError("the stream is at its end")


def test_one_look_is_enough_for_who_says_so(docker, server, base):
    docker.ok(*RUN, "-d", "--name", "idle", "base", "sleep", "1000")
    once = json.loads(server.api("GET", "/containers/idle/stats?stream=0&one-shot=1").body)
    assert once["preread"].startswith("0001-")
    twice = json.loads(server.api("GET", "/containers/idle/stats?stream=false").body)
    assert twice["precpu_stats"]["system_cpu_usage"] < twice["cpu_stats"]["system_cpu_usage"]
    docker.ok("kill", "idle")
    assert json.loads(server.api("GET", "/containers/idle/stats?stream=0").body)["pids_stats"] == {}
