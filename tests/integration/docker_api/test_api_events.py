"""Events and networks by docker's own clients against `lamina serve`."""

import json
import select
import subprocess
import time

import pytest

from tests.integration.docker_api.rig import PATIENCE, Api, connected
from tests.integration.docker_api.shapes import differences


def test_events_are_heard_as_they_come_and_later(docker, base):
    hearing = subprocess.Popen(
        [docker.program, "events", "--format", "{{.Type}} {{.Action}}", "--filter", "type=volume"],
        stdout=subprocess.PIPE,
        env=docker.env,
        text=True,
    )
    try:
        assert hearing.stdout is not None
        while not select.select([hearing.stdout], [], [], 0)[0]:  # it may listen after the first
            docker.ok("volume", "create", "mine")
            docker.ok("volume", "rm", "mine")
        assert hearing.stdout.readline().startswith("volume ")
    finally:
        hearing.terminate()
        hearing.communicate(timeout=PATIENCE)
    until = f"{time.time():.6f}"
    told = docker.ok("events", "--since", "1h", "--until", until, "--filter", "event=create")
    assert "volume create mine" in told


def test_the_head_of_events_is_sent_at_once(server):
    with connected(server.path) as client:
        client.sendall(b"GET /events HTTP/1.1\r\nHost: d\r\n\r\n")
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 200 OK\r\n")
        server.api("POST", "/images/base/tag?repo=other")
        event = json.loads(client.recv(1 << 16).split(b"\r\n")[1])
        assert (event["Type"], event["Action"]) == ("image", "tag")


def test_a_listener_that_left_is_noticed(server):
    """What waits for events ends with its client, or the server's end would wait for it."""
    for _ in range(8):
        with connected(server.path) as client:
            client.sendall(b"GET /events HTTP/1.1\r\nHost: d\r\n\r\n")
            client.recv(1 << 16)
    while _threads(server.process.pid) > 2:
        pass


def _threads(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Threads:"))


def test_there_are_two_networks(docker):
    assert (
        docker.ok("network", "ls", "--format", "{{.Name}} {{.Driver}}") == "host host\nnone null\n"
    )
    assert docker.ok("network", "ls", "-q", "--filter", "type=custom") == ""
    assert json.loads(docker.ok("network", "inspect", "host"))[0]["Driver"] == "host"
    assert "cannot be had here" in docker.fails("network", "create", "mine")
    assert "pre-defined network" in docker.fails("network", "rm", "host")
    for verb in ("inspect", "rm"):
        assert "mine" in docker.fails("network", verb, "mine")
    assert docker.ok("network", "prune", "-f").strip() == ""


@pytest.mark.usefixtures("needs_root")
def test_networks_have_dockers_shape(server, dockerd_socket):
    theirs = Api(dockerd_socket)
    for target in ("/networks", "/networks/host", "/networks/none"):
        found = differences(theirs.get(f"/v1.41{target}"), server.api.get(f"/v1.41{target}"))
        assert found == [], target
    for api in (theirs, server.api):
        answer = api("GET", "/v1.41/networks/nope")
        assert (answer.status, "network nope not found" in answer.message) == (404, True)
