"""One connection, without a server: what its client's going and half going come to."""

import asyncio
import select
import socket
import threading

import pytest

from lamina.docker_api.crowd import Crowd
from lamina.docker_api.failures import ClientGone
from lamina.docker_api.replies import Hijack, Stream, Whole
from lamina.docker_api.wire import Connection

PLAIN = b"GET / HTTP/1.1\r\nHost: d\r\n\r\n"
UPGRADE = b"GET / HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
BOUND = 30  # seconds; never a wait


def _is_rung(bell):
    poller = select.poll()
    poller.register(bell, select.POLLIN)
    return bool(poller.poll(BOUND * 1000))


def met(serve, client, room=1):
    """Serve one connection while `client` speaks at the other end of it; what that gives."""

    async def run():
        ours, theirs = socket.socketpair()
        theirs.settimeout(BOUND)
        reader, writer = await asyncio.open_connection(sock=ours)
        speaking = asyncio.get_running_loop().run_in_executor(None, client, theirs)
        await asyncio.wait_for(Connection(reader, writer, serve, (), Crowd(room)).run(), BOUND)
        with theirs:
            return await speaking

    return asyncio.run(run())


def _said(connection):
    return b"".join(iter(lambda: connection.recv(1 << 16), b""))


@pytest.mark.parametrize("asked", [PLAIN, UPGRADE])
def test_who_vanishes_is_noticed_while_it_is_answered(asked):
    noticed, begun = [], threading.Event()

    def serve(exchange):
        bell = exchange.bell()
        begun.set()
        noticed.append(_is_rung(bell))
        exchange.close()

    def client(connection):
        connection.sendall(asked)
        begun.wait(BOUND)
        connection.close()

    met(serve, client)
    assert noticed == [True]


def test_what_is_sent_to_nobody_says_so():
    noticed, begun = [], threading.Event()

    def serve(exchange):
        def produce(write):
            begun.set()
            while True:
                write(b"x")

        with pytest.raises(ClientGone):
            exchange.send(Stream(produce, at_once=True))
        noticed.append(True)

    def client(connection):
        connection.sendall(PLAIN)
        begun.wait(BOUND)
        connection.close()

    met(serve, client)
    assert noticed == [True]


@pytest.mark.parametrize("asked", [PLAIN, UPGRADE])
def test_who_sends_no_more_gets_its_whole_answer(asked):
    def serve(exchange):
        assert _is_rung(exchange.bell())  # it has been noticed
        exchange.send(Whole(200, b"whole"))
        exchange.close()

    def client(connection):
        connection.sendall(asked)
        connection.shutdown(socket.SHUT_WR)
        return _said(connection)

    assert met(serve, client).endswith(b"\r\n\r\nwhole")


def test_a_stream_without_an_end_ends_for_who_sends_no_more():
    def serve(exchange):
        bell = exchange.bell()

        def produce(write):
            write(b"one")
            assert _is_rung(bell)

        exchange.send(Stream(produce, at_once=True))
        exchange.close()

    def client(connection):
        connection.sendall(PLAIN)
        connection.shutdown(socket.SHUT_WR)
        return _said(connection)

    assert met(serve, client).endswith(b"3\r\none\r\n0\r\n\r\n")


def test_a_line_that_is_taken_over_may_be_half_closed():
    def serve(exchange):
        assert _is_rung(exchange.bell())

        async def talk(line):
            assert await line.read() == b""
            await line.write(b"words")
            await line.end()

        return Hijack(talk)

    def client(connection):
        connection.sendall(UPGRADE)
        connection.shutdown(socket.SHUT_WR)
        return _said(connection)

    assert met(serve, client).endswith(b"\r\n\r\nwords")


def _asks(connection):
    connection.sendall(PLAIN.replace(b"Host", b"Connection: close\r\nHost"))
    return _said(connection)


def test_who_cannot_be_given_a_thread_is_told(monkeypatch):
    def start(thread):
        if thread.name == "lamina-serve":
            raise RuntimeError("can't start new thread")
        started(thread)

    started = threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", start)
    said = met(lambda exchange: exchange.send(Whole(200, b"never")), _asks)
    assert said.startswith(b"HTTP/1.1 503 ")
    assert b"descriptors and threads" in said


def test_who_finds_no_room_is_told_and_the_rest_of_his_request_passed_over():
    def client(connection):
        body = b"POST / HTTP/1.1\r\nHost: d\r\nContent-Length: 5\r\n\r\nwords"
        connection.sendall(body + body)
        connection.shutdown(socket.SHUT_WR)
        return _said(connection)

    said = met(lambda exchange: exchange.send(Whole(200, b"never")), client, room=0)
    assert said.count(b"HTTP/1.1 503 ") == 2
    assert b"never" not in said
