"""The files of an archive or a directory, opened by path or from a stream. Knows no form."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from lamina.archive.compress import detect, open_decompressed
from lamina.content.verified import ByteStream
from lamina.errors import from_oserror
from lamina.fs.atomic import write_all
from lamina.fs.reading import DescriptorStream
from lamina.images.members import DirectoryMembers, Members, TarMembers
from lamina.layers.store import LayerStore

_CHUNK = 1 << 20


@contextmanager
def opened_members(source: str | ByteStream, layers: LayerStore) -> Iterator[Members]:
    """The files of the source; a stream or a compressed archive is unrolled into `staging/`."""
    members: DirectoryMembers | TarMembers
    if not isinstance(source, str):
        members = TarMembers(_unrolled(source, layers))
    elif os.path.isdir(source):
        members = _directory(source)
    else:
        members = TarMembers(_plain_file(source, layers))
    try:
        yield members
    finally:
        members.close()


def _directory(path: str) -> DirectoryMembers:
    try:
        return DirectoryMembers(path)
    except OSError as error:
        raise from_oserror(error, "reading", path) from error


def _plain_file(path: str, layers: LayerStore) -> int:
    """A descriptor of the file, or, where that cannot be sought in, of its plain bytes."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise from_oserror(error, "reading", path) from error
    try:
        regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
        if regular and detect(os.pread(descriptor, 16, 0)) == "none":
            return os.dup(descriptor)
        return _unrolled(DescriptorStream(descriptor), layers)
    finally:
        os.close(descriptor)


def _unrolled(stream: ByteStream, layers: LayerStore) -> int:
    """The plain bytes of a stream in a file that has no name."""
    descriptor = scratch_file(layers)
    try:
        with open_decompressed(stream) as plain:
            while data := plain.read(_CHUNK):
                write_all(descriptor, data)
        os.lseek(descriptor, 0, os.SEEK_SET)
    except OSError as error:
        os.close(descriptor)
        raise from_oserror(error, "writing to", layers.root.folder("staging")) from error
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def scratch_file(layers: LayerStore) -> int:
    """A new file that goes with its descriptor; for a moment with a name where it must have one."""
    folder = layers.root.folder("staging")
    path = layers.root.scratch(f"nameless.{os.urandom(6).hex()}")
    try:
        return _nameless(folder, path)
    except OSError as error:
        raise from_oserror(error, "writing to", folder) from error


def _nameless(folder: str, path: str) -> int:
    flags = os.O_RDWR | os.O_CLOEXEC
    try:
        return os.open(folder, flags | os.O_TMPFILE, 0o600)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
            raise
    descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
    os.unlink(path)
    return descriptor
