"""A connection that was taken over, passed on to a container or a command in one.

The client may end its input and still listen; only when nobody is there any more does the talk
end from its side, and what it talked to goes on.
"""

import os
from collections.abc import Awaitable, Callable
from contextlib import suppress

from lamina.docker_api import waiting
from lamina.docker_api.replies import Line
from lamina.values.detachkeys import DetachKeys

Read = Callable[[], Awaitable[bytes]]
Send = Callable[[bytes], Awaitable[None]]

CHUNK = 1 << 18


async def exchange(line: Line, output: Read, send: Send, keys: DetachKeys | None) -> None:
    """Pass bytes both ways until there is no more output, or nobody listens any more.

    `output` gives b"" at its end; `send` gets what the client sends, b"" when that is all. When
    the keys are typed the client is let go.
    """
    await waiting.whichever(_listen(line, output), _type(line, send, keys))
    await line.end()


async def _listen(line: Line, output: Read) -> None:
    while data := await output():
        await line.write(data)


async def _type(line: Line, send: Send, keys: DetachKeys | None) -> None:
    """Until nobody is there any more, or the keys were typed."""
    while data := await line.read():
        rest = keys.passed(data) if keys is not None else data
        if rest is None:
            return
        if rest:
            with suppress(OSError):  # it has closed its input, and may write all the same
                await send(rest)
    with suppress(OSError):
        await send(b"")
    await line.vanished()


async def given(descriptor: int, data: bytes) -> None:
    """Write all of it to a descriptor that does not block; raises OSError."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            await waiting.writable(descriptor)
