"""What a detached container wrote, and what it writes while one looks."""

import os
import select
from collections.abc import Generator
from contextlib import suppress

from lamina.containers import logs
from lamina.containers.store import ContainerStore, StoredContainer
from lamina.errors import from_oserror
from lamina.fs.processes import handle
from lamina.metadata import exits

_LOOK = 1.0  # seconds between two looks where nobody can tell us of changes


def log_lines(
    store: ContainerStore,
    stored: StoredContainer,
    wanted: logs.Selection,
    *,
    follow: bool,
    bell: int | None = None,
) -> Generator[logs.LogLine, None, None]:
    """What the container wrote; with `follow` also what it will write until it ends.

    Or until the descriptor `bell` is readable.

    Raises `StorageError`.
    """
    path = store.log_path(stored.row.id)
    try:
        if not follow or not stored.is_up or stored.row.pid is None:
            yield from logs.read(path, wanted)
            return
        with handle(stored.row.pid, stored.row.start_time) as keeper:
            news = _News(store.folder(stored.row.id), keeper, bell)
            try:
                yield from logs.read(path, wanted, news.wait)
            finally:
                news.close()
    except OSError as error:
        raise from_oserror(error, "reading the log", path) from error


class _News:
    """Tells when more may have been written to a folder by those who live as long as `keeper`."""

    def __init__(self, folder: str, keeper: int | None, bell: int | None) -> None:
        from lamina.kernel import inotify  # who does not follow needs none

        self._folder = folder
        self._drain = inotify.drain
        self._keeper = keeper
        self._bell = bell
        self._poller = select.poll()
        self._watch = -1
        if keeper is not None:
            self._poller.register(keeper, select.POLLIN)
        if bell is not None:
            self._poller.register(bell, select.POLLIN)
        with suppress(OSError):  # no more watches are to be had: looked at now and then instead
            self._watch = inotify.watch(folder, inotify.MODIFY | inotify.MOVED | inotify.CREATE)
            self._poller.register(self._watch, select.POLLIN)

    def wait(self) -> bool:
        """Whether there may be more after what is there once this returns."""
        if self._keeper is None or exits.read(self._folder) is not None:
            return False
        ready = dict(self._poller.poll(None if self._watch >= 0 else _LOOK * 1000))
        if self._watch >= 0:
            self._drain(self._watch)
        return self._keeper not in ready and self._bell not in ready

    def close(self) -> None:
        """Let go of the watch."""
        if self._watch >= 0:
            os.close(self._watch)
