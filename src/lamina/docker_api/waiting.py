"""Waiting on the event loop for descriptors, and for a peer that goes."""

import asyncio
import select


async def hung_up(descriptor: int, events: int = 0) -> None:
    """Return when nobody is at the other end of a socket; with `events` after those, too."""
    with select.epoll() as poller:
        poller.register(descriptor, events)  # a hang-up is told anyway
        await readable(poller.fileno())


async def readable(descriptor: int) -> None:
    """Wait until there is something to read."""
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_reader(descriptor, _settle, ready)
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)


async def writable(descriptor: int) -> None:
    """Wait until something can be written."""
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_writer(descriptor, _settle, ready)
    try:
        await ready
    finally:
        loop.remove_writer(descriptor)


def _settle(ready: "asyncio.Future[None]") -> None:
    if not ready.done():
        ready.set_result(None)
