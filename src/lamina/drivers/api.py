"""The contract that every storage driver keeps, and what a driver may do beyond it.

A **layer** here is an opaque `LayerID`. It is born by `create` (to be filled by `apply`) or
`create_rw` (to be mounted writable), becomes immutable by `commit`, and is the parent of
further layers. Whoever calls holds the layer's lock and has written down its intent; a driver
keeps no record beyond what lies in its home, and finds a layer's parents there.

`lamina.testing.driver_suite` proves the contract; a new driver hooks into it in twenty lines.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

from lamina.values.ids import LayerID

if TYPE_CHECKING:  # whoever only looks at the store needs nothing that mounts or reads a tar
    from lamina.archive.entry import Segment
    from lamina.archive.results import Change, Figures, Placement
    from lamina.fs.mounting import MountPlan
    from lamina.fs.tree import TreeView
    from lamina.fs.usage import Usage

OnPlaced = Callable[["Placement"], None]
Features = tuple[tuple[str, str], ...]
"""Names and values of what trying a driver out found (lamina.drivers.features)."""

OPAQUE = "opaque"  # the feature that names the attribute of opaque directories


class Driver(Protocol):
    """How layers are kept. All methods raise `StorageError` in the kernel's own words.

    Methods on different layers may run at once, in threads and in processes; methods on the
    same layer may not (the caller's lock sees to it).
    """

    @property
    def name(self) -> str:
        """The name users know: `overlay2`, `vfs`."""

    @property
    def home(self) -> str:
        """The absolute path of the driver's own directory."""

    @property
    def own(self) -> tuple[str, ...]:
        """The names of all that it keeps in its home but layers; they go when it is given up."""

    def create(self, layer: LayerID, parent: LayerID | None) -> None:
        """Make an empty layer over `parent`, to be filled by `apply`.

        Not idempotent: an existing layer is an error. What a killed `create` leaves,
        `remove` takes away.
        """

    def create_rw(self, layer: LayerID, parent: LayerID | None, size: int | None = None) -> None:
        """Make a layer over `parent` to be mounted writable; `size` limits it, in bytes.

        Raises `DriverNotSupported` when `size` is given and cannot be enforced.
        """

    def apply(
        self,
        layer: LayerID,
        parent: LayerID | None,
        segments: Iterable["Segment"],
        on_placed: OnPlaced,
        salvage_fd: int | None = None,
    ) -> "Figures":
        """Write the members of a layer's tar into `layer`, in order.

        Every driver gives the same merged tree for the same stream
        (docs/format/layer-semantics.md). Raises `BadArchive` for a hostile or broken
        stream; the layer is then to be removed.
        """

    def commit(self, layer: LayerID) -> None:
        """Make `layer` immutable; idempotent."""

    def mounts(self, layer: LayerID, *, writable: bool) -> "MountPlan":
        """How to mount `layer` with all below it; nothing is mounted here."""

    def writable_root(self, layer: LayerID) -> str:
        """Where what is written to a mounted `layer` ends up: a directory, or a file that holds
        one (lamina.fs.limited).
        """

    def view(self, layer: LayerID) -> "TreeView":
        """The merged tree of `layer`, read without a mount; the caller closes it."""

    def own_tree(self, layer: LayerID) -> "TreeView":
        """What `layer` itself stores, so that files of its tar can be read back."""

    def changes(self, layer: LayerID, parent: LayerID | None) -> Iterator["Change"]:
        """What `layer` changed over `parent`, in the canonical form, sorted by path."""

    def usage(self, layer: LayerID) -> "Usage":
        """Bytes and entries that `layer` itself stores."""

    def remove(self, layer: LayerID, trash: str) -> None:
        """Remove `layer`; idempotent, also for what a killed `create` left.

        The layer is renamed into the directory `trash` first, so that a killed removal
        leaves nothing half visible.
        """

    def layers(self) -> Iterator[LayerID]:
        """Every layer that lies in the driver's home, for checking."""

    def location(self, layer: LayerID) -> str:
        """The path of all that belongs to `layer`, for setting a stray aside."""

    def status(self) -> tuple[tuple[str, str], ...]:
        """Rows for `info`, under the names that docker's users know."""

    def data(self, layer: LayerID) -> tuple[tuple[str, str], ...]:
        """Where the layer lies: the rows of `GraphDriver.Data` in `inspect`."""


@runtime_checkable
class AppliesAhead(Protocol):
    """A driver that can fill a layer while those below it are being filled (a union's)."""

    def apply_ahead(
        self,
        layer: LayerID,
        segments: Iterable["Segment"],
        on_placed: OnPlaced,
        salvage_fd: int | None,
        complete: Callable[[], None],
    ) -> "Figures":
        """As `apply`; `complete` returns when all below is, and is called before it is looked at.

        For layers that were created in order, and no more of them than the kernel unites.
        """


def is_complete() -> None:
    """What `apply` waits for where all below is there: nothing."""


@runtime_checkable
class KeepsChanges(Protocol):
    """A driver on which a layer takes up what is applied to it, whatever lies below (a union's).

    So it can stand on an earlier version of itself, to which only what differs is applied. Its
    layers are removed in any order.
    """

    keeps_changes: bool


@runtime_checkable
class CopiesParents(Protocol):
    """A driver whose layers each hold a full copy of all below (vfs): `df` shows both figures."""

    copies_parents: bool


@runtime_checkable
class ExactTar(Protocol):
    """A driver that keeps the tar itself (erofs): a layer leaves, and is checked, by reading it."""

    def open_tar(self, layer: LayerID) -> int:
        """A descriptor of the layer's tar, bit for bit as it came; raises OSError.

        Whoever calls closes it, and verifies what was read.
        """


@runtime_checkable
class ChecksItself(Protocol):
    """A driver that keeps something beside a layer's content, and can say whether it is whole."""

    def verify(self, layer: LayerID) -> None:
        """Look at all of it; raises `StoreDamaged`. The content itself is compared elsewhere."""


@runtime_checkable
class LimitsSize(Protocol):
    """A driver that can say how much a read-write layer may hold."""

    def limit(self, layer: LayerID) -> int | None:
        """In bytes; None where nothing but the disk limits it. Raises `StorageError`."""


@runtime_checkable
class CopiesOwn(Protocol):
    """A driver that keeps what a layer itself holds in a directory: it can be copied as it is."""

    def copy_own(self, layer: LayerID, source: LayerID) -> bool:
        """Let the fresh read-write `layer` hold what `source` holds, over the same parent.

        False where it cannot be copied so, and nothing was. Nobody may write to `source` meanwhile.
        """


@runtime_checkable
class SharesMounts(Protocol):
    """A driver that keeps mounts for all its users, and gives them up when the last one closes."""

    def close(self) -> None:
        """Give up what this process held; idempotent."""


@runtime_checkable
class SetsAside(Protocol):
    """A driver whose layers are not set aside by renaming their directory."""

    def set_aside(self, layer: LayerID, target: str) -> str:
        """Move a stray layer out of the way, to the path `target` if it can lie there.

        Gives where it lies now. Raises `StorageError`.
        """


class Probe(NamedTuple):
    """What trying a driver out gave: whether it works, the evidence in words, what was found."""

    works: bool
    reason: str
    features: Features = ()
