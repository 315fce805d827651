"""Those who wait for a start: nothing runs before each of them is ready, or has given up."""

import select
import threading

import pytest

from lamina.docker_api.backend import Backend
from lamina.docker_api.execs import Execs
from lamina.docker_api.hub import Hub
from lamina.docker_api.routes.streams import _Attached
from lamina.errors import ContainerNotFound
from lamina.execution.attached import OUTPUT


def _rung(waiter):
    poller = select.poll()
    poller.register(waiter.bell, select.POLLIN)
    return bool(poller.poll(30_000))


def test_a_start_waits_for_all_who_wait_for_it():
    hub, order = Hub(), []

    def start():
        hub.starting("box", "/path")
        order.append("begun")

    with hub.waiter("box") as one, hub.waiter("box") as two, hub.waiter("other") as other:
        starting = threading.Thread(target=start)
        starting.start()
        assert _rung(one)
        assert _rung(two)
        assert (one.path, two.path, other.path) == ("/path", "/path", "")
        one.ready.set()
        order.append("ready")
        two.ready.set()
        starting.join()
    assert order == ["ready", "begun"]


def test_who_has_given_up_is_not_waited_for():
    hub = Hub()
    with hub.waiter("box"):
        pass
    hub.starting("box", "/path")


def test_a_start_that_failed_wakes_those_who_wait():
    hub = Hub()
    with hub.waiter("box") as waiter:
        hub.failed("box", 127)
        assert _rung(waiter)
        assert (waiter.path, waiter.code) == ("", 127)


def test_all_who_never_become_ready_are_waited_for_together(monkeypatch):
    hub, waits = Hub(), []
    monkeypatch.setattr("lamina.docker_api.hub.time.monotonic", lambda: 100.0 + 3 * len(waits))
    with hub.waiter("box") as one, hub.waiter("box") as two, hub.waiter("box") as three:
        for each in (one, two, three):
            monkeypatch.setattr(each.ready, "wait", waits.append)
        hub.starting("box", "/path")
    assert waits == [5.0, 2.0, 0.0]


def test_who_attaches_to_what_is_gone_waits_for_nothing():
    class Gone:
        """A container that was removed since it was looked for."""

        id, name = "box", "box"

        def reload(self):
            raise ContainerNotFound("no such container: box")

    hub = Hub()
    backend = Backend(lambda: None, lambda: -1, hub, Execs())
    talk = _Attached("/nowhere", OUTPUT, None, bytes, None)
    with pytest.raises(ContainerNotFound):
        talk.connect(backend, Gone())
    assert hub._waiting == {}
