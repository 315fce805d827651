"""`lamina serve` itself: where it listens, how it begins and ends, and clients that misbehave."""

import base64
import os
import signal
import socket
import subprocess
import sys

import pytest

from tests.cli.rig import Lamina, nothing_left
from tests.integration.docker_api.rig import Api, connected, read, serving


@pytest.fixture
def vfs(lamina: Lamina) -> Lamina:
    lamina.driver = "vfs"
    return lamina


def test_a_client_learns_the_version(vfs):
    with serving(vfs) as server:
        answer = server.api("HEAD", "/_ping")
        assert (answer.status, answer.body) == (200, b"")
        assert answer.headers["Api-Version"] == "1.51"
        assert answer.headers["Ostype"] == "linux"
        assert server.api("GET", "/v1.30/_ping").body == b"OK"
        told = server.api.get("/version")
        assert (told["ApiVersion"], told["MinAPIVersion"]) == ("1.51", "1.24")
        assert [each["Name"] for each in told["Components"]] == ["Engine", "Lamina"]


def test_another_version_is_refused_in_dockers_words(vfs):
    with serving(vfs) as server:
        new, old = server.api("GET", "/v1.99/info"), server.api("GET", "/v1.12/info")
        assert (new.status, old.status) == (400, 400)
        assert new.message.endswith("1.99 is too new. Maximum supported API version is 1.51")
        assert (
            "client version 1.12 is too old. Minimum supported API version is 1.24" in old.message
        )


@pytest.mark.parametrize(
    "asked", [("GET", "/nope"), ("PUT", "/info"), ("GET", "/images/"), ("GET", "//")]
)
def test_what_is_not_there_is_told(vfs, asked):
    with serving(vfs) as server:
        answer = server.api(*asked)
        assert (answer.status, answer.message) == (404, "page not found")


@pytest.mark.parametrize(
    "target", ["/images/json?filters=%7B", "/images/json?filters=%7B%22a%22%3A1%7D"]
)
def test_filters_that_cannot_be_read_are_refused(vfs, target):
    with serving(vfs) as server:
        assert server.api("GET", target).status == 400


def test_an_address_and_credentials_that_cannot_be_read_are_refused(vfs):
    deep = base64.urlsafe_b64encode(b"[" * 100_000).decode()
    with serving(vfs) as server:
        with connected(server.path) as client:
            client.sendall(b"GET http://[/x HTTP/1.1\r\nHost: d\r\n\r\n")
            assert client.recv(4096).startswith(b"HTTP/1.1 400 ")
        answer = server.api("GET", "/distribution/a/json", headers={"X-Registry-Auth": deep})
        assert answer.status == 400
        answer = server.api("POST", "/containers/create", {"Image": "\ud800"})
        assert (answer.status, "no JSON" in answer.message) == (400, True)


def test_one_socket_has_one_server_and_a_dead_ones_is_taken_over(vfs):
    with serving(vfs) as server:
        second = vfs("serve", "-H", f"unix://{server.path}")
        assert second.code == 1
        assert "another one serves" in second.err
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
        assert os.path.exists(server.path)
        with serving(vfs) as next_one:
            assert next_one.api("GET", "/_ping").body == b"OK"
    assert not os.path.exists(server.path)


def test_nothing_but_a_socket_is_replaced(vfs):
    path = vfs.write("docker.sock", b"mine")
    said = vfs("serve", "-H", f"unix://{path}")
    assert (said.code, "is no socket" in said.err) == (1, True)
    assert read(path) == b"mine"


@pytest.mark.parametrize("host", ["tcp://0.0.0.0:2375", "tcp://:2375", "npipe:////", "unix://here"])
def test_only_this_machine_is_listened_to(vfs, host):
    said = vfs("serve", "-H", host)
    assert said.code == 1
    assert said.err.startswith("lamina: ")


def test_loopback_and_long_paths_work(vfs):
    port = _free_port()
    path = os.path.join(vfs.folder, "p" * 100, "docker.sock")
    with serving(vfs, "-H", f"tcp://127.0.0.1:{port}", "-H", f"unix://{path}"):
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            assert client.recv(4096).startswith(b"HTTP/1.1 200 OK")
        assert os.path.exists(path)
        mode = os.stat(path).st_mode & 0o777
        assert mode in (0o600, 0o660)


def test_an_address_that_anyone_here_reaches_is_warned_of(vfs):
    place = f"tcp://127.0.0.1:{_free_port()}"
    with serving(vfs, "-H", place) as server:
        said = server.process.stderr.readline()
        assert said.startswith(f"lamina: warning: whoever reaches {place} on this machine is root")


def test_pages_of_a_browser_are_not_answered(vfs):
    port = _free_port()
    with serving(vfs, "-H", f"tcp://127.0.0.1:{port}"):
        for head, status in (
            ("Host: evil.example:2375", 403),
            (f"Host: 127.0.0.1:{port}\r\nOrigin: http://evil.example", 403),
            (f"Host: localhost:{port}", 200),
        ):
            with socket.create_connection(("127.0.0.1", port)) as client:
                client.sendall(f"GET /version HTTP/1.1\r\n{head}\r\n\r\n".encode())
                assert client.recv(4096).startswith(f"HTTP/1.1 {status} ".encode())


def test_a_service_manager_may_hand_the_socket_over(vfs):
    path = os.path.join(vfs.folder, "handed.sock")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        script = (
            "import os, sys; os.dup2(int(sys.argv[1]), 3);"
            " os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1');"
            " os.execv(sys.argv[2], sys.argv[2:])"
        )
        number = str(listening.fileno())
        process = subprocess.Popen(
            [sys.executable, "-c", script, number, *vfs.command("serve")],
            pass_fds=[listening.fileno()],
            stderr=subprocess.PIPE,
            env=vfs.env,
        )
        try:
            assert Api(path)("GET", "/_ping").body == b"OK"
        finally:
            process.terminate()
            process.communicate()


# --- clients that misbehave ---------------------------------------------------------------------


def test_heads_without_end_and_nonsense_are_refused(vfs):
    with serving(vfs) as server:
        for sent in (b"GET / HTTP/1.1\r\nX: " + b"a" * (1 << 19), b"\x00\x01\x02\r\n\r\n"):
            with connected(server.path) as client:
                try:
                    client.sendall(sent)
                except BrokenPipeError:
                    pass
                assert client.recv(4096).startswith(b"HTTP/1.1 4")
        assert server.api("GET", "/_ping").status == 200


def test_a_document_has_bounds(vfs):
    with serving(vfs) as server:
        answer = server.api("POST", "/auth", b'{"username":"' + b"a" * (5 << 20) + b'"}')
        assert (answer.status, "more than" in answer.message) == (400, True)
        for body in (b"[" * 100_000, b"nonsense", b"[]"):
            assert server.api("POST", "/auth", body).status == 400


def test_who_leaves_in_the_middle_leaves_nothing(vfs, busybox_tar):
    data = read(busybox_tar)
    vfs.ok("import", busybox_tar, "other")
    with serving(vfs) as server, nothing_left(vfs):
        for _ in range(2):
            with connected(server.path) as client:
                head = (
                    "POST /images/create?fromSrc=-&repo=x HTTP/1.1\r\nHost: d\r\nContent-Length: "
                )
                client.sendall(f"{head}{len(data)}\r\n\r\n".encode() + data[:100_000])
        with connected(server.path) as client:
            client.sendall(b"GET /images/get?names=other HTTP/1.1\r\nHost: d\r\n\r\n")
            assert client.recv(100)
        server.process.send_signal(signal.SIGTERM)  # waits for what is being done
        server.process.wait()
        assert "x" not in vfs.ok("images", "-q")


def test_a_killed_server_leaves_nothing(vfs, busybox_tar):
    data = read(busybox_tar)
    vfs.ok("images")
    with serving(vfs) as server, nothing_left(vfs):
        with connected(server.path) as client:
            head = "POST /images/create?fromSrc=-&repo=x HTTP/1.1\r\nHost: d\r\nContent-Length: "
            client.sendall(f"{head}{len(data)}\r\n\r\n".encode() + data[:-1])
            server.process.send_signal(signal.SIGKILL)
            server.process.wait()
        assert vfs.ok("images", "-q") == ""


def test_one_connection_carries_many_requests(vfs):
    with serving(vfs) as server, connected(server.path) as client:
        client.sendall(
            b"GET /_ping HTTP/1.1\r\nHost: d\r\n\r\nGET /_ping HTTP/1.1\r\nHost: d\r\n\r\n"
        )
        got = b""
        while got.count(b"OK") < 4:
            got += client.recv(4096)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
