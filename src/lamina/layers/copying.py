"""One layer from one driver to another: written anew, read back, compared.

A committed layer goes as its tar, and counts when the new driver gives back the bytes of its diff
ID. A read-write layer goes as its canonical diff, and counts when the new driver tells the same
one. Knows no row and no lock: whoever calls has written down what is being made.
"""

import filecmp
import hashlib
import os
import stat
import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing

from lamina.archive.apply import FLAT, apply
from lamina.archive.entry import DIR, Entry, EntryStream, Segment
from lamina.archive.index import IndexWriter, indexed
from lamina.archive.making import settle
from lamina.archive.reader import read
from lamina.archive.salvage import discard_salvage
from lamina.drivers.api import Driver, LimitsSize
from lamina.errors import StoreDamaged, from_oserror
from lamina.fs.atomic import unlink_if_there
from lamina.fs.faults import crash_point
from lamina.fs.mounting import detached
from lamina.fs.tree import carried_xattrs
from lamina.fs.writeback import Writeback
from lamina.kernel import xattr
from lamina.layers import export, indexes, pack
from lamina.layers.source import EntrySource
from lamina.metadata.layers import LayerRow
from lamina.metadata.root import StoreRoot
from lamina.values.digest import DiffID
from lamina.values.ids import LayerID

_CHUNK = 1 << 20
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NANO = 1_000_000_000


def copy_committed(root: StoreRoot, source: Driver, target: Driver, row: LayerRow) -> None:
    """Give a committed layer its body on `target`, with all below it there already.

    Raises `StoreDamaged` when either body is not the tar of its diff ID, or a `StorageError`.
    """
    target.create(row.id, row.below)
    crash_point("copy-made")
    grown = root.folder("staging", f"{indexes.moved_name(row.id, target.name)}.index")
    with Outgoing(root, source, row) as tar, IndexWriter(grown) as writer:
        with Writeback(target.home) as writeback:
            members = _watched(indexed(tar.segments(), writer), writeback)
            target.apply(row.id, row.below, members, writer.placed, writer.salvage_fd)
        writer.finish()
        tar.verify()
    crash_point("copy-filled")
    _place_index(root, row, target, grown)
    crash_point("copy-indexed")
    target.commit(row.id)
    export.export(root, target, row._replace(driver=target.name), _nowhere)


def discard_indexes(root: StoreRoot, layer: LayerID, target: Driver) -> None:
    """Take away the index of a copy, half written or in place."""
    name = indexes.moved_name(layer, target.name)
    grown = root.folder("staging", f"{name}.index")
    discard_salvage(grown)
    for path in (grown, root.folder("index", name)):
        unlink_if_there(path)


def _watched(segments: Iterable[Segment], writeback: Writeback) -> Iterator[Segment]:
    for segment in segments:
        yield segment
        writeback.passed(segment.offset)


def _place_index(root: StoreRoot, row: LayerRow, target: Driver, grown: str) -> None:
    """Keep the new index only where it is another one."""
    if filecmp.cmp(grown, indexes.path(root, row), shallow=False):
        os.unlink(grown)
    else:
        os.rename(grown, root.folder("index", indexes.moved_name(row.id, target.name)))


def _nowhere(_data: bytes) -> object:
    return None


class Outgoing:
    """A layer's tar as a stream, put together by a thread while it is read; a context manager."""

    def __init__(self, root: StoreRoot, source: Driver, row: LayerRow) -> None:
        assert row.diff_id is not None
        self._diff_id: DiffID = row.diff_id
        self._digest = hashlib.sha256()
        self._error: BaseException | None = None
        self._reader, self._writer = os.pipe2(os.O_CLOEXEC)
        self._thread = threading.Thread(
            target=self._run, args=(root, source, row), name="lamina-export", daemon=True
        )
        self._thread.start()

    def _run(self, root: StoreRoot, source: Driver, row: LayerRow) -> None:
        try:
            export.write_tar(root, source, row, self._put)
        except BrokenPipeError:
            pass  # the reader has given up, and says why
        except BaseException as error:  # noqa: BLE001 - raised again on the reader's thread
            self._error = error
        finally:
            os.close(self._writer)

    def _put(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._writer, view) :]

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes; none at the end. Raises what putting it together raised."""
        data = os.read(self._reader, min(size, _CHUNK))
        self._digest.update(data)
        if not data:
            self._thread.join()
            if self._error is not None:
                raise self._error
        return data

    def segments(self) -> Generator[Segment, None, None]:
        """The tar's members, and then the rest of it."""
        yield from read(self)
        while self.read(_CHUNK):
            pass

    def verify(self) -> None:
        """Compare all that was read with the diff ID."""
        if self._digest.hexdigest() != self._diff_id.hex:
            raise StoreDamaged(
                f"a layer's files are no longer those of {self._diff_id}",
                hint="run `lamina check --full`",
            )

    def __enter__(self) -> "Outgoing":
        return self

    def __exit__(self, *_error: object) -> None:
        os.close(self._reader)  # ends the thread, whatever it has left
        self._thread.join()


def copy_writable(source: Driver, target: Driver, row: LayerRow) -> None:
    """Give a read-write layer its body on `target`, with its limit and what it changed.

    The root's own mode, owner and attributes go with it, though no diff tells of them.

    Raises `StoreDamaged` when the copy tells another diff, `DriverNotSupported` for a limit that
    `target` cannot keep, `BadArchive` for a name that no layer may have, or a `StorageError`.
    """
    target.create_rw(row.id, row.parent, limit_of(source, row))
    crash_point("copy-made")
    with pack.changed(source, row, None) as changes:
        sent = _send(changes, target, row) if changes is not None else None
    root = _root_of(source, row)
    _set_root(target, row, root)
    crash_point("copy-filled")
    if not (_has_root(target, row, root) and _tells(sent, source, target, row)):
        raise StoreDamaged(
            f"the copy of the read-write layer {row.id.short} on {target.name} is not what was "
            "copied",
            hint="something wrote to it meanwhile, or try another driver",
        )


def copy_changes(driver: Driver, row: LayerRow, into: LayerRow, made: frozenset[bytes]) -> None:
    """Let the fresh read-write layer `into` have changed what `row` has, over the same parent.

    What was `made` in that to mount on is left out.
    """
    with pack.changed(driver, row, None, made) as changes:
        if changes is not None:
            _send(changes, driver, into)
    _set_root(driver, into, _root_of(driver, row))


def limit_of(driver: Driver, row: LayerRow) -> int | None:
    """How many bytes a read-write layer may hold."""
    return driver.limit(row.id) if isinstance(driver, LimitsSize) else None


def _send(changes: EntrySource, target: Driver, row: LayerRow) -> DiffID:
    try:
        with (
            detached(target.mounts(row.id, writable=True)) as tree,
            closing(changes.segments()) as members,
        ):
            apply(tree, members, form=FLAT)
    except OSError as error:
        raise from_oserror(error, "opening a layer of", target.home) from error
    return changes.diff_id()


def _root_of(driver: Driver, row: LayerRow) -> Entry:
    """A read-write layer's root itself, which no diff lists."""
    view = driver.view(row.id)
    try:
        status = view.lstat(b"")
        assert status is not None
        mode = stat.S_IMODE(status.st_mode)
        entry = Entry(b"", DIR, mode, status.st_uid, status.st_gid, xattrs=view.xattrs(b""))
        return entry._replace(mtime_ns=status.st_mtime_ns)
    except OSError as error:
        raise from_oserror(error, "reading the root of a layer in", driver.home) from error
    finally:
        view.close()


def _has_root(target: Driver, row: LayerRow, root: Entry) -> bool:
    return _root_of(target, row)._replace(mtime_ns=root.mtime_ns) == root


def _tells(sent: DiffID | None, source: Driver, target: Driver, row: LayerRow) -> bool:
    """Whether the copy tells the diff that was sent, at least in whole seconds."""
    if diff_of(target, row) == sent:
        return True
    return diff_of(target, row, whole=True) == diff_of(source, row, whole=True)


def _set_root(target: Driver, row: LayerRow, entry: Entry) -> None:
    """Last of all: a default ACL there would be inherited, and each new name sets its time."""
    try:
        with detached(target.mounts(row.id, writable=True)) as tree:
            root = os.open(".", _DIRECTORY, dir_fd=tree)
            try:
                _describe(root, entry)
            finally:
                os.close(root)
    except OSError as error:
        raise from_oserror(error, "setting the root of a layer in", target.home) from error


def _describe(root: int, entry: Entry) -> None:
    wanted = {key for key, _ in entry.xattrs}
    for key, _ in carried_xattrs(root):
        if key not in wanted:
            xattr.remove(root, key)
    settle(root, entry, os.fstat(root))
    os.utime(root, ns=(entry.mtime_ns, entry.mtime_ns))


def diff_of(driver: Driver, row: LayerRow, *, whole: bool = False) -> DiffID | None:
    """The digest of what a read-write layer changed, None for nothing.

    With `whole`, times are told in whole seconds: some file systems keep no more.
    """
    with pack.changed(driver, row, None) as source:
        if source is None:
            return None
        told = EntrySource(_in_seconds(source.entries)) if whole else source
        with closing(told.segments()) as members:
            for member in members:
                while member.body.read(_CHUNK):
                    pass
        return told.diff_id()


def _in_seconds(entries: EntryStream) -> EntryStream:
    for entry, opener in entries:
        yield _floored(entry), opener


def _floored(entry: Entry) -> Entry:
    return entry._replace(mtime_ns=entry.mtime_ns // _NANO * _NANO)


def mark_of(driver: Driver, row: LayerRow) -> str:
    """A word that is another one after anything in a read-write layer was changed."""
    digest = hashlib.sha256()
    view = driver.view(row.id)
    try:
        root = view.lstat(b"")  # no change lists it
        assert root is not None
        digest.update(repr((root.st_mode, root.st_uid, root.st_gid, root.st_ctime_ns)).encode())
        for change in driver.changes(row.id, row.parent):
            status = view.lstat(change.path) if change.kind != "D" else None
            seen = (
                (status.st_ino, status.st_size, status.st_ctime_ns) if status is not None else None
            )
            digest.update(repr((change.kind, change.path, seen)).encode())
    finally:
        view.close()
    return digest.hexdigest()
