"""The small documents that engines keep their records in, read beneath an engine's root."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from lamina.content.verified import ByteStream
from lamina.errors import StoreDamaged, from_oserror
from lamina.foreign.tarsplit import assembled
from lamina.fs.inroot import Root
from lamina.fs.reading import DescriptorStream
from lamina.spec import strictjson

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY


class Documents:
    """Files and folders beneath one root, by names that were put together here."""

    def __init__(self, root: Root) -> None:
        self._root = root

    def small(self, path: str, limit: int = strictjson.LIMIT) -> bytes | None:
        """The bytes of a file of at most `limit` bytes; None when it is not there."""
        try:
            return self._root.open_file(os.fsencode(path), limit)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise from_oserror(error, "reading", path) from error

    def needed(self, path: str, limit: int = strictjson.LIMIT) -> bytes:
        """The same; raises `StoreDamaged` when it is not there."""
        found = self.small(path, limit)
        if found is None:
            raise StoreDamaged(f"the store has no {path}")
        return found

    def names(self, path: str) -> list[str]:
        """What a folder holds, sorted; nothing where there is none."""
        try:
            folder = self._root.open(os.fsencode(path), _DIRECTORY)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise from_oserror(error, "reading", path) from error
        try:
            return sorted(os.listdir(folder))
        finally:
            os.close(folder)

    @contextmanager
    def layer(self, metadata: str, files: str) -> Iterator[ByteStream]:
        """The tar of a layer: the path of its tar-split data, and of the folder of its files."""
        with (
            self._opened(metadata, os.O_RDONLY) as data,
            self._opened(files, _DIRECTORY) as folder,
            assembled(DescriptorStream(data), Root(folder)) as stream,
        ):
            yield stream

    @contextmanager
    def _opened(self, path: str, flags: int) -> Iterator[int]:
        try:
            descriptor = self._root.open(os.fsencode(path), flags)
        except OSError as error:
            raise from_oserror(error, "reading", path) from error
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Let go of the root."""
        self._root.close()
