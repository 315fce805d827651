"""`lamina serve` when many come at once, when descriptors run out, and when clients leave early."""

import json
import os
import socket
from contextlib import ExitStack, suppress

import pytest

from tests.cli.rig import Lamina, until
from tests.integration.docker_api.rig import connected, serving

_FEW = ("prlimit", "--nofile=200:200")  # of which six requests may be answered at once
_REQUESTS, _CLIENTS = 6, 34
_EVENTS = b"GET /events HTTP/1.1\r\nHost: d\r\n\r\n"


@pytest.fixture
def vfs(lamina: Lamina) -> Lamina:
    lamina.driver = "vfs"
    return lamina


def _descriptors(server):
    return len(os.listdir(f"/proc/{server.process.pid}/fd"))


def _asked(stack, server, request=_EVENTS):
    """A client that has heard the head of its answer, and that head."""
    client = stack.enter_context(connected(server.path))
    client.sendall(request)
    return client, client.recv(1 << 16)


def test_who_leaves_before_the_first_word_leaves_nothing_open(vfs):
    with serving(vfs) as server:
        assert server.api("GET", "/_ping").status == 200
        before = _descriptors(server)
        for _ in range(20):
            with connected(server.path) as client:
                client.sendall(_EVENTS)
        assert server.api("GET", "/_ping").status == 200  # all that came before it are begun
        until(lambda: os.listdir(f"/proc/{server.process.pid}/task") == [str(server.process.pid)])
        assert _descriptors(server) <= before


def test_a_burst_of_clients_waits_to_be_met(vfs):
    with serving(vfs) as server, ExitStack() as stack:
        server.process.send_signal(19)  # SIGSTOP: nobody is met
        clients = []
        try:
            for _ in range(300):
                client = stack.enter_context(socket.socket(socket.AF_UNIX))
                client.setblocking(False)
                client.connect(server.path)
                clients.append(client)
        finally:
            server.process.send_signal(18)
        for each in clients:
            each.setblocking(True)
            each.sendall(b"GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n")
        assert all(each.recv(1 << 16).startswith(b"HTTP/1.1 200 ") for each in clients)


def test_more_than_there_are_descriptors_for_is_refused_in_a_sentence(vfs):
    with serving(vfs, prefix=_FEW) as server, ExitStack() as stack:
        held = [_asked(stack, server) for _ in range(_REQUESTS)]
        assert all(head.startswith(b"HTTP/1.1 200 ") for _, head in held)
        answer = server.api("GET", "/_ping")
        assert answer.status == 503
        assert "raise the server's limits" in answer.message
        held[0][0].close()
        until(lambda: server.api("GET", "/_ping").status == 200)


def test_the_limit_of_descriptors_is_raised_as_far_as_it_may_be(vfs):
    with serving(vfs, prefix=("prlimit", "--nofile=200:2000")) as server, ExitStack() as stack:
        heads = [_asked(stack, server)[1] for _ in range(4 * _REQUESTS)]
        assert all(head.startswith(b"HTTP/1.1 200 ") for head in heads)


def test_who_asks_nothing_makes_room_for_who_does(vfs):
    with serving(vfs, prefix=_FEW) as server, ExitStack() as stack:
        idle = [stack.enter_context(connected(server.path)) for _ in range(2 * _CLIENTS)]
        assert server.api("GET", "/_ping").status == 200
        assert idle[0].recv(1) == b""
        idle[-1].sendall(b"GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n")
        assert idle[-1].recv(1 << 16).startswith(b"HTTP/1.1 200 ")


def test_a_full_house_turns_away_in_a_sentence(vfs):
    slow = b"POST /auth HTTP/1.1\r\nHost: d\r\nContent-Length: 10\r\n\r\n"
    with serving(vfs, prefix=_FEW) as server, ExitStack() as stack:
        held = [_asked(stack, server) for _ in range(_REQUESTS)]
        # turned away, but until their bodies end they are heard
        held += [_asked(stack, server, slow) for _ in range(_CLIENTS - _REQUESTS)]
        with connected(server.path) as client:
            with suppress(BrokenPipeError):  # it was told before it asked
                client.sendall(_EVENTS)
            head, _, body = client.recv(1 << 16).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503 ")
        assert "descriptors" in json.loads(body)["message"]
