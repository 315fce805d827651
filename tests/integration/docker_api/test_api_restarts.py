"""Containers that are started again, and clients who wait for, stop and change them."""

import json
import os

from tests.cli.rig import Lamina, until
from tests.integration.docker_api.rig import connected


def made(api, script, **host):
    """A new container's ID."""
    said = {"Image": "base", "Cmd": ["sh", "-c", script], "HostConfig": {"NetworkMode": "none"}}
    said["HostConfig"].update(host)
    answer = api("POST", "/containers/create", said)
    assert answer.status == 201, answer
    return str(answer.json()["Id"])


def policy(name, most=0):
    return {"RestartPolicy": {"Name": name, "MaximumRetryCount": most}}


def state(base, container):
    (found,) = json.loads(base.ok("inspect", container))
    return found["State"]


def test_a_wait_ends_with_the_next_end(server):
    """Of one that is started again, too, as docker has it."""
    script = "test -e /again && exec sleep 1000; >/again; exit 7"
    for condition in ("next-exit", "not-running"):
        container = made(server.api, script, **policy("always"))
        with connected(server.path) as client:
            asked = f"POST /containers/{container}/wait?condition={condition}"
            if condition == "not-running":
                assert server.api("POST", f"/containers/{container}/start").status == 204
            client.sendall(f"{asked} HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n".encode())
            if condition == "next-exit":
                assert client.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
                assert server.api("POST", f"/containers/{container}/start").status == 204
            else:
                assert server.api("POST", f"/containers/{container}/kill").status == 204
            said = b"".join(iter(lambda: client.recv(1 << 16), b""))
        assert b'"StatusCode":' in said


def test_docker_wait_tells_the_status_of_that_end(docker):
    docker.ok("run", "-d", "--name", "c1", "--restart", "always", "base", "sh", "-c", "exit 7")
    assert docker.ok("wait", "c1") == "7\n"
    docker.ok("stop", "-t", "0", "c1")


def test_a_wait_for_the_removal_is_one_for_the_last(server, base: Lamina):
    container = made(server.api, "exit 3", **policy("on-failure", 2))
    with connected(server.path) as client:
        asked = f"POST /containers/{container}/wait?condition=removed"
        client.sendall(f"{asked} HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n".encode())
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
        assert server.api("POST", f"/containers/{container}/start").status == 204
        until(lambda: state(base, container)["Status"] == "exited")
        assert server.api("DELETE", f"/containers/{container}").status == 204
        assert b'"StatusCode":3' in b"".join(iter(lambda: client.recv(1 << 16), b""))


def test_docker_update_changes_the_policy(docker):
    docker.ok("run", "-d", "--name", "c1", "--restart", "always", "base", "sleep", "1000")
    docker.ok("update", "--restart=no", "c1")
    form = "{{.HostConfig.RestartPolicy.Name}} {{.State.Status}}"
    assert docker.ok("inspect", "-f", form, "c1") == "no running\n"


def test_who_leaves_a_stop_without_an_end_is_not_waited_for(server, base: Lamina):
    container = made(server.api, "trap '' TERM; while :; do sleep 0.1; done")
    assert server.api("POST", f"/containers/{container}/start").status == 204
    tasks = f"/proc/{server.process.pid}/task"
    with connected(server.path) as client:
        client.sendall(
            f"POST /containers/{container}/stop?t=-1 HTTP/1.1\r\nHost: d\r\n\r\n".encode()
        )
        until(lambda: len(os.listdir(tasks)) > 1)
        until(lambda: "kill" in base.ok("events", "--since", "0", "--until", "0s"))
    until(lambda: len(os.listdir(tasks)) == 1)
    assert state(base, container)["Status"] == "running"


def test_a_restart_is_told(server, base: Lamina):
    container = made(server.api, "exec sleep 1000")
    assert server.api("POST", f"/containers/{container}/restart?t=0").status == 204
    told = base.ok("events", "--since", "0", "--until", "0s", "--filter", "event=restart")
    assert container in told


def test_what_was_written_before_is_sent_piece_by_piece(server):
    """Ten times what is in memory of it at once; and all of it, in order."""
    script = "seq 200000"
    container = made(server.api, script)
    with connected(server.path) as client:
        client.sendall(f"POST /containers/{container}/wait?condition=next-exit".encode())
        client.sendall(b" HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n")
        assert client.recv(1 << 16)
        assert server.api("POST", f"/containers/{container}/start").status == 204
        assert b'"StatusCode":0' in b"".join(iter(lambda: client.recv(1 << 16), b""))
    asked = f"POST /containers/{container}/attach?logs=1&stdout=1 HTTP/1.1"
    with connected(server.path) as client:
        client.sendall(f"{asked}\r\nHost: d\r\n\r\n".encode())
        said = b"".join(iter(lambda: client.recv(1 << 18), b""))
    _, _, frames = said.partition(b"\r\n\r\n")
    words = []
    while frames:
        size = int.from_bytes(frames[4:8], "big")
        words.append(int(frames[8 : 8 + size]))
        frames = frames[8 + size :]
    assert words == list(range(1, 200001))
