"""The directory of the erofs driver on disk (docs/format/erofs-layer.md).

    <home>/                    0710
      <id>/                    0700
        layer.tar layer.erofs  0400   a layer that came as a tar
        layer.data             0400   what its files hold that the tar does not
        diff/ work/                   a read-write layer
        limited                0600   instead of them: a file system of limited size
        size                   0600   the limit, in bytes
        below                  0600   the IDs of all below, topmost first
        tree/                  0700   empty: where older kernels attach the image

Knows names and files; mounts nothing.
"""

import os

from lamina.errors import StoreDamaged
from lamina.fs.erofs import Erofs, Shared
from lamina.values.ids import LayerID

_BLOCK = 512  # bytes, in which a tar and its image are addressed
TAR, IMAGE, DATA = "layer.tar", "layer.erofs", "layer.data"
_FLAT = "/flat"


class Layout:
    """Where each thing of each layer lies beneath `home`; `shared` is for mounts."""

    def __init__(self, home: str, shared: str) -> None:
        self.home = home
        self.shared = shared

    def prepare(self) -> None:
        """Make the home; idempotent."""
        os.makedirs(self.home, mode=0o710, exist_ok=True)
        if os.stat(self.home).st_mode & 0o777 != 0o710:
            os.chmod(self.home, 0o710)

    def path(self, *names: str) -> str:
        """A path beneath the home."""
        return os.path.join(self.home, *names)

    def make(self, layer: LayerID) -> None:
        """Make the directory of a new layer, with nothing of its own in it."""
        os.mkdir(self.path(layer), 0o700)
        os.mkdir(self.path(layer, "tree"), 0o700)

    def make_writable(self, layer: LayerID) -> None:
        """Give a new layer what it needs to be mounted writable."""
        for name, mode in (("diff", 0o755), ("work", 0o700)):
            os.mkdir(self.path(layer, name))
            os.chmod(self.path(layer, name), mode)

    def make_limited(self, layer: LayerID, size: int) -> None:
        """The same for one that may hold `size` bytes."""
        from lamina.fs import limited

        self.make_writable(layer)
        with open(self.path(layer, "size"), "x", encoding="ascii") as file:
            file.write(str(size))
        limited.make(self.path(layer, "limited"), size)

    def limited(self, layer: LayerID) -> str | None:
        """The file whose file system holds what a limited layer holds, if it is one.

        Raises `StoreDamaged` when that file is lost.
        """
        path = self.path(layer, "limited")
        if os.path.exists(path):
            return path
        if os.path.exists(self.path(layer, "size")):
            raise StoreDamaged(
                f"{path} is missing, which holds what a container wrote",
                hint="restore it from a backup, or remove the container",
            )
        return None

    def limit(self, layer: LayerID) -> int | None:
        """How much a read-write layer may hold, in bytes; None where it has no limit."""
        try:
            with open(self.path(layer, "size"), encoding="ascii") as file:
                return int(file.read())
        except FileNotFoundError:
            return None

    def stand_on(self, layer: LayerID, below: list[str]) -> None:
        """Put a new layer over others, topmost first; `<id>/flat` is that one's flat tree."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        descriptor = os.open(self.path(layer, "below"), flags, 0o600)
        with open(descriptor, "w", encoding="ascii") as file:
            file.write("".join(f"{each}\n" for each in below))

    def below(self, layer: LayerID) -> list[str]:
        """All below `layer`, topmost first; raises `StoreDamaged` for a file that is cut off."""
        path = self.path(layer, "below")
        try:
            with open(path, encoding="ascii", errors="replace") as file:
                text = file.read()
        except FileNotFoundError:
            return []
        names = text.split("\n")
        plain = [name.removesuffix(_FLAT) for name in names]
        if names.pop() or not names or any(len(name) != 64 for name in plain[:-1]):
            raise StoreDamaged(f"{path} is empty or cut off", hint="run `lamina check`")
        return names

    def is_writable(self, layer: LayerID) -> bool:
        """Whether `layer` was made to be written to; it holds its own in `diff/` then."""
        return os.path.isdir(self.path(layer, "diff"))

    def step(self, layer: LayerID) -> Erofs | str:
        """What `layer` itself is mounted from; raises `StoreDamaged` for files that do not fit."""
        if self.is_writable(layer):
            return self.path(layer, "diff")
        image = self.path(layer, IMAGE)
        try:
            status = os.stat(image)
            devices = self._devices(layer)
        except OSError as error:
            raise _damaged(layer, f"{error.filename}: {error.strerror}") from error
        # another file under the same name (a store that was put back) is another mount
        name = f"{layer}.{status.st_dev:x}.{status.st_ino:x}.{status.st_ctime_ns:x}"
        return Erofs(image, devices, self.path(layer, "tree"), Shared(self.shared, name))

    def _devices(self, layer: LayerID) -> tuple[str, ...]:
        """The files that the image points into, each as long as the image says."""
        from lamina.archive.erofs.heads import device_blocks

        found = []
        for name, blocks in zip((TAR, DATA), device_blocks(self.path(layer, IMAGE)), strict=False):
            path = self.path(layer, name)
            size = os.stat(path).st_size
            if -(-size // _BLOCK) != blocks:
                raise _damaged(layer, f"{name} has {size} bytes, not {blocks} blocks of {_BLOCK}")
            found.append(path)
        return tuple(found)

    def steps_below(self, layer: LayerID) -> tuple[Erofs | str, ...]:
        """What all below `layer` are mounted from, topmost first."""
        return tuple(
            self.path(each) if each.endswith(_FLAT) else self.step(LayerID(each))
            for each in self.below(layer)
        )


def _damaged(layer: LayerID, what: str) -> StoreDamaged:
    return StoreDamaged(
        f"layer {layer.short} is damaged: {what}",
        hint="remove the image that the layer belongs to and get it again",
    )
