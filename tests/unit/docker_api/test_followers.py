"""Those who are attached to containers and follow logs: how many, and what they leave."""

import os
import socket
from contextlib import ExitStack
from types import SimpleNamespace

import pytest

from lamina.containers.logs import LogLine
from lamina.docker_api.failures import ClientGone
from lamina.docker_api.request import Query
from lamina.docker_api.routes.streams import _logs
from lamina.execution.attached import OUTPUT, joined
from lamina.execution.monitor.clients import Clients


def test_who_leaves_in_the_midst_of_a_log_lets_go_of_it_at_once():
    closed = []

    def lines(**_wanted):
        try:
            yield LogLine("stdout", b"word\n", "")
        finally:
            closed.append(True)

    kept = lines()  # by somebody else, as a traceback does
    container = SimpleNamespace(settings=SimpleNamespace(tty=False), logs=lambda **_wanted: kept)
    backend = SimpleNamespace(
        engine=SimpleNamespace(containers=SimpleNamespace(get=lambda _name: container)),
        bell=lambda: -1,
    )
    request = SimpleNamespace(
        name="box", query=Query("stdout=1&follow=1"), before=lambda *_version: False
    )

    def gone(_data):
        raise ClientGone

    with pytest.raises(ClientGone):
        _logs(backend, request).produce(gone)
    assert closed == [True]


def test_who_finds_no_room_to_attach_does_not_wait_for_ever(tmp_path):
    path = str(tmp_path / "attach")
    with ExitStack() as stack:
        listening = stack.enter_context(socket.socket(socket.AF_UNIX))
        listening.bind(path)
        listening.listen(0)
        stack.callback(joined(path, OUTPUT).close)  # waits to be met, as one more may
        with pytest.raises(BlockingIOError):
            joined(path, OUTPUT)


def test_all_who_may_be_attached_may_come_before_the_start(tmp_path):
    folder = os.open(tmp_path, os.O_RDONLY)
    clients = Clients(folder, framed=True)
    with ExitStack() as stack:
        stack.callback(os.close, folder)
        stack.callback(clients._socket.close)
        for _ in range(256):
            stack.callback(joined(str(tmp_path / "attach"), OUTPUT).close)
        clients.accept()
        assert len(clients.known) == 256
        for each in list(clients.known.values()):
            clients.forget(each)
