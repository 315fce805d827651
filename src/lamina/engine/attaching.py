"""Attaching to a container, before it starts or while it runs."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, NamedTuple

from lamina.containers.ending import watched
from lamina.containers.store import ContainerStore
from lamina.errors import InUse, NotRunning
from lamina.execution.attached import INPUT, LAST_INPUT, OUTPUT, Attachment

if TYPE_CHECKING:
    from lamina.engine.container import Container
    from lamina.execution.spawned import Stdio


class Attached(NamedTuple):
    """A connection, and what waits for the container's end and tells its exit status."""

    stream: Attachment
    wait: Callable[[], int]


@contextmanager
def attached(
    container: "Container",
    store: ContainerStore,
    *,
    stdin: bool,
    last: bool,
    start: "Stdio | None",
) -> Iterator[Attached]:
    """See `Container.attached`."""
    role = (LAST_INPUT if last else INPUT) if stdin else OUTPUT
    found: list[Attached] = []
    with ExitStack() as ending:

        def connect(path: str) -> None:
            stored = store.get(container.id)
            waiting = ending.enter_context(watched(store, stored, last=True))
            stream = Attachment(path, role, framed=not stored.settings.tty)
            ending.callback(stream.close)
            found.append(Attached(stream, waiting))

        container.reload()
        if start is not None and not container.is_up:
            container.start(stdio=start, before=connect)
        else:
            _connect(container, store, connect)
        yield found[0]


def _connect(container: "Container", store: ContainerStore, connect: Callable[[str], None]) -> None:
    if not container.is_up:
        raise NotRunning(
            f"the container {container.name} is not running", hint="start it with `lamina start -a`"
        )
    try:
        connect(os.path.join(store.run_root, container.id, "attach"))
    except BlockingIOError:
        raise InUse(
            f"the container {container.name} has as many who are attached as there is room for",
            hint="let one of them leave, or read `lamina logs -f`",
        ) from None
    except FileNotFoundError:
        raise InUse(
            f"the container {container.name} runs in the foreground of another command",
            hint="start it with `run -d` to attach to it",
        ) from None
    except ConnectionRefusedError:
        raise NotRunning(f"the container {container.name} has just ended") from None
