"""What the files of a context held when they were last read, so that they need not be read again.

A file's digest is believed while device, inode, size, mtime and ctime are what they were; an
entry that was written too soon after the file's last change is not kept, because a second change
within one tick of the clock would leave no trace (git calls such an entry racily clean). The file
format is docs/format/build-cache.md; a file that does not read as one is no cache, never an error.

Does not protect against a file system whose clock runs behind this machine's (a network mount),
nor against someone who sets the clock back and rewrites a file within it, nor one who writes to a
file's memory (mmap), which may change no time. What is read to be copied is held against the
digest, though, and where it differs nothing is believed any more (`distrust`).
"""

import os
import struct
from binascii import crc32
from collections.abc import Callable
from itertools import islice

from lamina.build.smallfiles import SmallFiles
from lamina.fs.atomic import unlink_if_there, write_file
from lamina.fs.status import IDENTITY, ctime_ns, settled

_MAGIC = b"lamina stat 3\n\0\0"
_HEADER = struct.Struct("<16sII")  # magic, number of entries, CRC-32 of them
_ENTRY = struct.Struct(f"<{IDENTITY}s32s")  # device, inode, size, mtime ns, ctime ns; digest
_KEPT_CONTEXTS = 64  # of which something is in the folder; the one used longest ago goes
_MANY = 256  # files that are looked at take as long as one that is read
_FILES = ".files"  # what is kept of the bytes of a context's files is called so beside this


class StatCache:
    """Digests by packed status, loaded from `path` and saved there; in memory when it is None.

    `contents` are the bytes of the small ones among the files. `temporary` says where a file that
    is not yet complete may be left by a kill.
    """

    def __init__(self, path: str | None, temporary: Callable[[], str] | None = None) -> None:
        self.path = path
        self._temporary = temporary
        self._known = _load(path) if path is not None else {}
        self._used: list[bytes] = []  # perhaps some of them twice
        self._fresh = 0  # states that were noted and are not saved
        self._is_wrong = False
        self.contents = SmallFiles(path + _FILES if path is not None else None, temporary)

    def find(self, status: bytes) -> bytes | None:
        """The 32-byte digest noted for this very state of the file, if any."""
        key = status[:IDENTITY]
        digest = self._known.get(key)
        if digest is not None:
            self._used.append(key)
        return digest

    def note(self, status: bytes, digest: bytes, read_ns: int) -> None:
        """Remember the digest of what was read at `read_ns`, unless it could change unseen."""
        if settled(ctime_ns(status), read_ns):
            key = status[:IDENTITY]
            self._known[key] = digest
            self._used.append(key)
            self._fresh += 1

    def distrust(self) -> None:
        """Something in it is wrong: later builds are to know nothing of it."""
        self._is_wrong = True

    def save(self) -> None:
        """Write what was learnt, if it is worth it: of very few files it is learnt again.

        A store that cannot be written costs only the speed.
        """
        if self.path is None:
            return
        try:
            if self._is_wrong:
                unlink_if_there(self.path)
                self.contents.forget()
                return
            if max(self._fresh, self.contents.fresh) * _MANY <= len(self._used):
                return
            if self._fresh:
                self._write(self.path)
            self.contents.save({self._known[key] for key in self._used})
        except OSError:
            return

    def _write(self, path: str) -> None:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        _make_room(os.path.dirname(path))
        temporary = self._temporary() if self._temporary is not None else None
        write_file(path, self._pack(), mode=0o600, temporary=temporary)
        self._fresh = 0

    def _pack(self) -> bytes:
        """What this build used, and as many others at most: states that are gone fade out."""
        used = dict.fromkeys(self._used)
        unused = (key for key in self._known if key not in used)
        kept = [*used, *islice(unused, len(used))]
        body = b"".join([each for key in kept for each in (key, self._known[key])])
        return _HEADER.pack(_MAGIC, len(kept), crc32(body)) + body


def _load(path: str) -> dict[bytes, bytes]:
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError:
        return {}
    if len(data) < _HEADER.size:
        return {}
    magic, count, checksum = _HEADER.unpack_from(data)
    body = memoryview(data)[_HEADER.size :]
    if magic != _MAGIC or len(body) != count * _ENTRY.size or crc32(body) != checksum:
        return {}
    return dict(_ENTRY.iter_unpack(body))


def _make_room(folder: str) -> None:
    with os.scandir(folder) as entries:
        contexts = [entry for entry in entries if not entry.name.endswith(_FILES)]
        aged = sorted((entry.stat().st_mtime_ns, entry.path) for entry in contexts)
    for _, path in aged[: max(0, len(aged) - _KEPT_CONTEXTS + 1)]:
        unlink_if_there(path + _FILES)
        unlink_if_there(path)
