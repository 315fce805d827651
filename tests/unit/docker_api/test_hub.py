"""Those who wait for a start: nothing runs before each of them is ready, or has given up."""

import select
import threading

from lamina.docker_api.hub import Hub


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
