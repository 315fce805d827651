"""What cache mounts hold, made into blobs that travel with a build's cache.

An unchanged mount gives the same blob again. What is not in this store is handed on from the cache
that has it, unread. Knows no medium.
"""

import hashlib
from collections.abc import Callable, Mapping
from functools import partial

from lamina.archive.entry import Write
from lamina.archive.writer import write
from lamina.build.api import Carried, MountStore, UsedMount
from lamina.build.cachemedia import travelling
from lamina.build.cachepacking import Packer
from lamina.build.portable import LONGEST_ID
from lamina.build.record import Blob, Filling, Packed
from lamina.build.stop import Stop
from lamina.errors import BadArchive, from_oserror
from lamina.fs.inroot import shown
from lamina.transfer.ends.packing import unpacked
from lamina.values.digest import DiffID
from lamina.values.events import Caution, LayerProgress, Notice, Sink

_NAMED = 3  # files that a warning names


def pack_mounts(
    packer: Packer, store: MountStore, used: Mapping[str, UsedMount], events: Sink
) -> dict[str, Packed]:
    """The mounts that are wished for, by their keys; those that nobody has are left out.

    Raises a `StorageError`, or what the cache raises that one is handed on from.
    """
    found = {}
    for key, mount in sorted(used.items()):
        if packer.wish.carries(mount.wish.title) and _may_travel(mount.wish.title, events):
            packed = _here(packer, store, mount, events) or _elsewhere(packer, mount)
            if packed is not None:
                found[key] = packed
    for title in packer.wish.mounts:
        if title not in {mount.wish.title for mount in used.values()}:
            events(Caution(f"no step of the build uses a cache mount {title!r}"))
    return found


def _may_travel(title: str, events: Sink) -> bool:
    """Whether an ID is one that readers take: it is shown to people, whoever wrote it."""
    if title.isprintable() and len(title) <= LONGEST_ID:
        return True
    events(Caution(f"the cache mount {title[:80]!r} stays here: its ID cannot be printed"))
    return False


def _here(packer: Packer, store: MountStore, used: UsedMount, events: Sink) -> Packed | None:
    title = used.wish.title
    with store.carried(used.wish, lambda text: events(Notice(text)), Stop()) as carried:
        if carried is None:
            return None
        events(LayerProgress(title, "compressing", 0, 0))
        try:
            packed = _packed(packer, used, carried)
        except OSError as error:
            raise from_oserror(error, "reading the cache mount", title) from error
        events(LayerProgress(title, "compressed", 0, 0))
    if carried.left_out:
        names = ", ".join(shown(each) for each in carried.left_out[:_NAMED])
        count = len(carried.left_out)
        events(Caution(f"of the cache mount {title} {count} files were left out, such as {names}"))
    return packed


def _packed(packer: Packer, used: UsedMount, carried: Carried) -> Packed:
    tar = _Tar()
    blob = packer.pack(lambda out: write(carried.members, tar.into(out)))
    return Packed(Filling(used.wish.name, tar.diff_id, tar.size, blob.about.digest), blob)


def _elsewhere(packer: Packer, used: UsedMount) -> Packed | None:
    found = used.elsewhere()
    if found is None:
        return None
    filling, blob = found
    if not packer.takes(blob.about):
        blob = _again(packer, filling, blob)
    return Packed(filling._replace(blob=blob.about.digest), blob)


def _again(packer: Packer, filling: Filling, blob: Blob) -> Blob:
    """A blob of another cache, packed anew; raises when it is not what was promised."""
    tar = _Tar(filling.size)
    fill = partial(unpacked, travelling(filling.diff_id, blob))
    return packer.pack(lambda out: fill(tar.into(out)))


class _Tar:
    """A tar as it passes: its size, which must not be more than `most`, and its diff ID."""

    def __init__(self, most: int | None = None) -> None:
        self.size = 0
        self._most = most
        self._digest = hashlib.sha256()

    @property
    def diff_id(self) -> DiffID:
        return DiffID(f"sha256:{self._digest.hexdigest()}")

    def into(self, out: Write) -> Callable[[bytes], None]:
        """What counts the bytes and hands them on."""

        def passing(data: bytes) -> None:
            self.size += len(data)
            if self._most is not None and self.size > self._most:
                raise BadArchive(f"the cache mount is larger than the {self._most} bytes promised")
            self._digest.update(data)
            out(data)

        return passing
