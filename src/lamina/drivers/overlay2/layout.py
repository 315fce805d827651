"""The directory of overlay2 on disk, as docker lays it out.

    <home>/                     0710
      backingFsBlockDev         b, the device below
      l/                        0700
        <26 chars> -> ../<id>/diff      short names, so that mount options stay short
      <id>/                     0710
        diff/                   0755   what the layer itself holds, whiteouts as c 0:0
        link                    0644   the layer's own short name
        lower                   0644   l/<short>:l/<short>...  of all below, topmost first
        work/                   0700   overlayfs's own; only with something below
        limited                 0600   instead of diff/ and work/: a file system of limited size
        size                    0600   the limit, in bytes, and `file` where `limited` keeps it
        committed               0600   it is immutable: something may stand on it
        flat/                   0755   with very many below: all of them and itself, laid out as one

Knows names and files; mounts nothing.
"""

import os
import stat

from lamina.errors import StoreDamaged
from lamina.values.ids import LayerID

_BY_FILE = "file"
_SHORT_BYTES = 16  # 26 characters in base 32, as docker's names


class Layout:
    """Where each thing of each layer lies beneath `home`."""

    def __init__(self, home: str) -> None:
        self.home = home

    def prepare(self) -> None:
        """Make the home, `l/` and the device node; idempotent."""
        os.makedirs(self.path("l"), mode=0o700, exist_ok=True)
        if os.stat(self.home).st_mode & 0o777 != 0o710:
            os.chmod(self.home, 0o710)
        if not os.path.lexists(self.device):
            self._make_device()

    def _make_device(self) -> None:
        try:
            os.mknod(self.device, stat.S_IFBLK | 0o600, os.stat(self.home).st_dev)
        except FileExistsError:
            pass  # another process was first
        except PermissionError:
            pass  # only quota control needs the node; in a user namespace it cannot be made

    def path(self, *names: str) -> str:
        """A path beneath the home."""
        return os.path.join(self.home, *names)

    @property
    def device(self) -> str:
        """The node of the block device below, by which quotas are set."""
        return self.path("backingFsBlockDev")

    def diff(self, layer: LayerID) -> str:
        """The directory of what `layer` itself holds."""
        return self.path(layer, "diff")

    def work(self, layer: LayerID) -> str:
        """The directory that overlayfs works in while `layer` is mounted writable."""
        return self.path(layer, "work")

    def limited(self, layer: LayerID) -> str | None:
        """The file whose file system holds what a limited layer holds, if it is one.

        Raises `StoreDamaged` where it is and the file is lost: nothing else would limit it then.
        """
        path = self.path(layer, "limited")
        if os.path.exists(path):
            return path
        if self._noted(layer)[1:] == [_BY_FILE]:
            raise StoreDamaged(
                f"the container's file system is lost: {path} is missing",
                hint="remove the container",
            )
        return None

    def note_limit(self, layer: LayerID, size: int, *, by_file: bool) -> None:
        """Note how much `layer` may hold, and whether its file alone keeps it to that."""
        self._write(layer, "size", f"{size} {_BY_FILE}" if by_file else str(size))

    def is_limited(self, layer: LayerID) -> bool:
        """Whether `layer` has a limit, whatever is left of the note that says how much."""
        return os.path.exists(self.path(layer, "size"))

    def limit(self, layer: LayerID) -> int | None:
        """How much `layer` may hold, in bytes; None where it has no limit."""
        noted = self._noted(layer)
        return int(noted[0]) if noted else None

    def _noted(self, layer: LayerID) -> list[str]:
        try:
            return self._read(layer, "size").split()
        except FileNotFoundError:
            return []

    def make(self, layer: LayerID) -> None:
        """Make the directory of a new layer, complete but for its content and what is below."""
        os.mkdir(self.path(layer), 0o710)
        os.chmod(self.path(layer), 0o710)
        os.mkdir(self.diff(layer))
        os.chmod(self.diff(layer), 0o755)
        short = _short(os.urandom(_SHORT_BYTES))
        os.symlink(f"../{layer}/diff", self.path("l", short))
        self._write(layer, "link", short)

    def stand_on(self, layer: LayerID, lowers: list[str]) -> None:
        """Put a new layer over others, by their short links, topmost first."""
        os.mkdir(self.work(layer))
        os.chmod(self.work(layer), 0o700)
        self._write(layer, "lower", ":".join(lowers))

    def _write(self, layer: LayerID, name: str, text: str) -> None:
        descriptor = os.open(
            self.path(layer, name), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644
        )
        try:
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)

    def short(self, layer: LayerID) -> str:
        """The short name of `layer`; raises `StoreDamaged` when its file is lost."""
        text = self._read(layer, "link")
        if len(text) != 26:
            raise StoreDamaged(
                f"{self.path(layer, 'link')} is empty or cut off", hint="run `lamina check`"
            )
        return text

    def lowers(self, layer: LayerID) -> list[str]:
        """The short links of all below `layer`, topmost first, as `l/<short>`."""
        try:
            text = self._read(layer, "lower")
        except FileNotFoundError:
            return []
        return text.split(":")

    def _read(self, layer: LayerID, name: str) -> str:
        with open(self.path(layer, name), encoding="utf-8") as file:
            return file.read()

    def link_flat(self, layer: LayerID) -> str:
        """The short link of a layer's flat tree, made where it is not there yet; idempotent."""
        from hashlib import sha256  # OpenSSL takes 3 ms, and hardly any layer has a flat tree

        short = f"l/{_short(sha256(f'{layer}/flat'.encode()).digest()[:_SHORT_BYTES])}"
        try:
            os.symlink(f"../{layer}/flat", self.path(short))
        except FileExistsError:
            pass  # others stand there already
        return short

    def lower_paths(self, layer: LayerID) -> tuple[str, ...]:
        """The directories of all below `layer`, topmost first, by their short names."""
        return tuple(self.path(short) for short in self.lowers(layer))

    def mark_committed(self, layer: LayerID) -> None:
        """Note that `layer` is immutable."""
        descriptor = os.open(
            self.path(layer, "committed"), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        os.close(descriptor)

    def is_committed(self, layer: LayerID) -> bool:
        """Whether `layer` is immutable."""
        return os.path.exists(self.path(layer, "committed"))

    def unlink_short(self, layer: LayerID) -> None:
        """Take the short links away, however far the layer's making had come."""
        try:
            name = self.path("l", self.short(layer))
            if os.readlink(name) == f"../{layer}/diff":
                os.unlink(name)
        except (OSError, StoreDamaged):
            self._unlink_by_target(layer, "diff")
        if os.path.lexists(self.path(layer, "flat")):
            self._unlink_by_target(layer, "flat")

    def _unlink_by_target(self, layer: LayerID, folder: str) -> None:
        for name in os.listdir(self.path("l")):
            if os.readlink(self.path("l", name)) == f"../{layer}/{folder}":
                os.unlink(self.path("l", name))


def _short(data: bytes) -> str:
    from base64 import b32encode  # what only looks at layers names none

    return b32encode(data).decode().rstrip("=")
