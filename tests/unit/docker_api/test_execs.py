"""Commands that could not be executed, for whatever reason, are not told to run for ever."""

import asyncio
import errno
import os
import resource
import socket

import pytest

from lamina.containers.executing import Order
from lamina.docker_api.backend import Backend
from lamina.docker_api.execs import Ask, Execs
from lamina.docker_api.hub import Hub
from lamina.docker_api.replies import Line
from lamina.docker_api.routes import execs as routes
from lamina.errors import CommandNotFound


def failing(error):
    def opener():
        raise error

    return opener


def asked(known, **said):
    ask = Ask("box", Order(("true",)), stdin=False, stdout=True, stderr=True, keys="")
    return known.add(ask._replace(**said))


@pytest.mark.parametrize(
    ("error", "code"),
    [(OSError(errno.EMFILE, "too many"), 126), (ValueError("x"), 126), (CommandNotFound("x"), 127)],
)
def test_a_detached_one_that_never_ran_is_told_and_has_ended(error, code):
    known = Execs()
    found = asked(known)
    backend = Backend(failing(error), lambda: -1, Hub(), known)
    with pytest.raises(type(error)):
        routes._detached(backend, found)
    assert (found.is_running, found.code, known.of("box")) == (False, code, [])


def test_one_without_descriptors_for_its_streams_has_ended():
    known = Execs()
    found = asked(known)
    talk = routes._Talk(failing(ValueError), found, (0, 0), framed=True)
    found.begin()

    async def run():
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=ours)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        free = os.dup(0)
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free + 3, hard))  # one pipe, not two
        try:
            with pytest.raises(OSError, match="Too many open files"):
                await talk.talk(Line(reader, writer, b""))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        again = os.dup(0)
        os.close(again)
        writer.close()
        theirs.close()
        assert again == free  # nothing stayed open

    asyncio.run(run())
    assert (found.is_running, found.code) == (False, 126)
