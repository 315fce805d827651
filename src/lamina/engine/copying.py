"""`cp` between a container and this machine, with docker's rules for what lands where.

Either way the files travel as a tar, so that both ends resolve names beneath a root of their own.
"""

import os
import stat
import threading
from collections.abc import Callable, Iterator

from lamina.archive.apply import apply
from lamina.archive.diff import entries_below
from lamina.archive.entry import EntryStream, Segment, Write
from lamina.archive.reader import read
from lamina.archive.writer import write
from lamina.engine.container import Container
from lamina.errors import PathNotFound, UsageError, from_oserror
from lamina.fs.atomic import write_all
from lamina.fs.reading import DescriptorStream
from lamina.fs.tree import FlatTree


def _through_pipe(
    produce: Callable[[Write], None], consume: Callable[[DescriptorStream], None], *, aside: str
) -> None:
    """Let `consume` read what `produce` writes; the one that caused the trouble raises.

    `aside` names the one that runs on a thread of its own: it may not touch the container, whose
    store belongs to the caller's thread.
    """
    reading, writing = os.pipe2(os.O_CLOEXEC)
    errors: dict[str, BaseException] = {}

    def act(name: str, work: Callable[[], None], end: int) -> None:
        try:
            work()
        except BrokenPipeError:
            pass  # the reader failed and says why
        except BaseException as error:  # noqa: BLE001 - raised again below
            errors[name] = error
        finally:
            os.close(end)

    acts = {
        "produce": (lambda: produce(lambda data: write_all(writing, data)), writing),
        "consume": (lambda: consume(DescriptorStream(reading)), reading),
    }
    thread = threading.Thread(
        target=act, args=(aside, *acts.pop(aside)), name="lamina-copy", daemon=True
    )
    thread.start()
    ((name, (work, end)),) = acts.items()
    act(name, work, end)
    thread.join()
    for name in ("produce", "consume"):
        if name in errors:
            raise errors[name]


def copy_out(container: Container, source: str, target: str, *, keep_owner: bool) -> None:
    """Copy a path of the container to this machine; raises `PathNotFound` or `StorageError`."""
    status = container.stat(source.removesuffix("/."))
    folder, name = _landing_here(source, target, stat.S_ISDIR(status.st_mode))

    def unroll(stream: DescriptorStream) -> None:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            apply(descriptor, _renamed(stream, source, name, keep_owner), whiteouts=False)
        finally:
            os.close(descriptor)

    _through_pipe(lambda out: container.get_archive(source, out), unroll, aside="consume")


def _renamed(
    stream: DescriptorStream, source: str, name: bytes | None, keep_owner: bool
) -> Iterator[Segment]:
    base = os.fsencode(source.rstrip("/")).rpartition(b"/")[2]
    uid, gid = os.geteuid(), os.getegid()
    for segment in read(stream):
        entry = segment.entry
        if entry is not None:
            changed = entry if keep_owner else entry._replace(uid=uid, gid=gid)
            if name is not None and not source.endswith("/."):
                changed = changed._replace(name=_swap(changed.name, base, name))
                changed = changed._replace(
                    link=_swap(changed.link, base, name)
                    if changed.kind == "hardlink"
                    else changed.link
                )
            yield segment._replace(entry=changed)
        else:
            yield segment


def _swap(path: bytes, base: bytes, name: bytes) -> bytes:
    first, slash, rest = path.partition(b"/")
    return (name + slash + rest).strip(b"/") if first == base else path


def _landing_here(source: str, target: str, is_directory: bool) -> tuple[str, bytes | None]:
    """The directory of this machine to unroll into, and a new name for the top (None: its own)."""
    if os.path.isdir(target):
        return target, None
    if target.endswith("/") and not is_directory:
        raise PathNotFound(f"the directory {target} does not exist")
    if os.path.lexists(target) and is_directory:
        raise UsageError(f"a directory cannot be copied to the file {target}")
    parent = os.path.dirname(os.path.abspath(target)) or "/"
    if not os.path.isdir(parent):
        raise PathNotFound(f"the directory {parent} does not exist")
    if source.endswith("/."):
        os.mkdir(target)
        return target, None
    return parent, os.fsencode(os.path.basename(target.rstrip("/")))


def copy_in(
    container: Container, source: str, target: str, *, keep_owner: bool, follow: bool
) -> None:
    """Copy a path of this machine into the container; raises `PathNotFound` or `StorageError`."""
    path = os.path.realpath(source) if follow else os.path.abspath(source)
    try:
        status = os.lstat(path)
    except OSError as error:
        raise from_oserror(error, "reading", source) from error
    contents = source.endswith("/.")
    folder, name = _landing_there(container, target, path, stat.S_ISDIR(status.st_mode), contents)

    def roll(out: Write) -> None:
        parent = os.open(os.path.dirname(path) or "/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        tree = FlatTree(parent)
        try:
            base = os.fsencode(os.path.basename(path))
            write(_owned(entries_below(tree, base, name), keep_owner), out)
        finally:
            tree.close()

    _through_pipe(roll, lambda stream: container.put_archive(folder, stream), aside="produce")


def _owned(entries: EntryStream, keep_owner: bool) -> EntryStream:
    for entry, opener in entries:
        if not entry.name:
            continue
        yield (entry if keep_owner else entry._replace(uid=0, gid=0)), opener


def _landing_there(
    container: Container, target: str, path: str, is_directory: bool, contents: bool
) -> tuple[str, bytes]:
    """The container's directory to unroll into, and what the top is to be called in it."""
    own = os.fsencode(os.path.basename(path))
    try:
        there = container.stat(target)
    except PathNotFound:
        there = None
    if there is not None and stat.S_ISDIR(there.st_mode):
        return target, b"" if contents and is_directory else own
    if there is not None and is_directory:
        raise UsageError(f"a directory cannot be copied to the file {target} of the container")
    if target.endswith("/") and not is_directory:
        raise PathNotFound(f"no such directory in the container: {target}")
    parent = os.path.dirname(target.rstrip("/")) or "/"
    return parent, os.fsencode(os.path.basename(target.rstrip("/")))
