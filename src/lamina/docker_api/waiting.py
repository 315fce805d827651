"""Waiting on the event loop for descriptors, for a peer that goes, and for what blocks."""

import asyncio
import errno
import select
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


async def whichever(*first: Coroutine[object, object, object]) -> None:
    """Return when one of them has, or has failed; the others are given up."""
    running = [asyncio.ensure_future(each) for each in first]
    try:
        await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in running:
            each.cancel()
            with suppress(asyncio.CancelledError, OSError):
                await each


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


async def in_thread(work: Callable[[], T]) -> T:
    """Run it on a thread of its own, which nobody waits for when the process ends.

    Raises BlockingIOError when no more threads are to be had.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]  # there is one without an error

    def act() -> None:
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - raised where it is awaited
            loop.call_soon_threadsafe(settle, None, error)
        else:
            loop.call_soon_threadsafe(settle, result, None)

    try:
        threading.Thread(target=act, name="lamina-serve", daemon=True).start()
    except RuntimeError as error:
        raise BlockingIOError(errno.EAGAIN, str(error)) from error
    return await done


async def to_its_end(work: Callable[[], T]) -> T:
    """The same, and nobody who gives up waiting goes on before it is done."""
    working = asyncio.ensure_future(in_thread(work))
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        await working
        raise
