"""What a build asks for and gives, and the four narrow things it needs of others.

The protocols are what the builder uses and no more: a store of layers, a store of images, a way
to run a command over a read-write layer, and a memory of what steps gave. Tests hand in plain
objects; `lamina.engine` hands in the stores.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

from lamina.build.record import Blob, Packed, Portable, Record
from lamina.spec.imageconfig import ImageConfig
from lamina.values.digest import ChainID, DiffID, ImageID
from lamina.values.ids import LayerID

if TYPE_CHECKING:  # a cached build reads no index and starts nothing
    from lamina.archive.compress import ByteStream
    from lamina.archive.entry import MemberStream
    from lamina.archive.index import IndexReader
    from lamina.build.annotations import Annotations
    from lamina.build.mountname import MountName
    from lamina.build.named import Named
    from lamina.build.secrets import Secret
    from lamina.build.statcache import StatCache
    from lamina.build.stop import Stop
    from lamina.build.surroundings import Surroundings
    from lamina.build.witness import Witness
    from lamina.dockerfile import Dockerfile
    from lamina.execution.extras import File, Scratch
    from lamina.execution.run import Exit, Running, Stdio
    from lamina.fs.tree import TreeView
    from lamina.layers.kinds import Source
    from lamina.layers.layer import Layer
    from lamina.layers.versions import Version
    from lamina.runtime.process import Volume
    from lamina.values.reference import Reference

DEFAULT_DOCKERFILE = "Dockerfile"


class BuildRequest(NamedTuple):
    """One build.

    `context` is a directory of this machine, a git repository (`https://host/name.git#REF:DIR`,
    `git@host:name.git`), the URL of a tar or of a Dockerfile, or a tar itself, plain or compressed,
    read once; None for a build without one. `dockerfile` is the path of a Dockerfile (None: the one
    in the context): on this machine, or in a context that is elsewhere. `dockerfile_text` are its
    bytes when it comes by itself, such as on standard input. An `ignore_file` of this machine
    stands for the context's own. `source_date_epoch` is in seconds since the epoch; no time in the
    image is then later. `network` is `host`, `none` or `default` (host, for now). `secrets` by ID
    and `agents`, the sockets of ssh agents by ID,
    are for `RUN --mount`; `allow` names what RUN may ask for beyond the usual
    (`security.insecure`). `contexts` stand for stages and images of their names, in lower case;
    `squash` makes one layer of those that the build adds. What is not `stored` is no image of the
    store: its layers stay as long as the builder's store is open, or as the cache keeps them.
    The stages named by `no_cache_stages`, in lower case, are carried out anew.
    What is `kept` stays while the builder's store is open, whatever becomes of the image.
    With `inline_cache` the image's config holds the cache of its build, with `tells_used` the
    result does. The image is made for each of `platforms` (none: this machine's), with the bases
    for it; the store then has the one for this machine, else the first.
    `stages` are what a Dockerfile would be read as, in the place of one.
    The image in the store has the `annotations` that are for its manifest.
    `surroundings` are what RUN may use and which hosts it knows.
    `jobs` stages are worked on at once (None: as many as there are processors, two at least).
    What it `attests` (`provenance`, `sbom`) has an index beside the image to be in; of provenance
    the result is the witness.
    A `stop` that any thread asks ends the build; it raises `Stopped` then.
    """

    context: "str | ByteStream | None" = "."
    dockerfile: str | None = None
    dockerfile_text: bytes | None = None
    ignore_file: str | None = None
    tags: tuple[str, ...] = ()
    build_args: Mapping[str, str] = {}
    target: str | None = None
    labels: Mapping[str, str] = {}
    network: str = "default"
    no_cache: bool = False
    source_date_epoch: int | None = None
    secrets: Mapping[str, "Secret"] = {}
    agents: Mapping[str, str] = {}
    allow: frozenset[str] = frozenset()
    contexts: Mapping[str, "Named"] = {}
    squash: bool = False
    stored: bool = True
    kept: bool = True
    jobs: int | None = None
    no_cache_stages: frozenset[str] = frozenset()
    stages: "Dockerfile | None" = None
    inline_cache: bool = False
    tells_used: bool = False
    platforms: tuple[str, ...] = ()
    annotations: "Annotations" = ()
    surroundings: "Surroundings | None" = None
    stop: "Stop | None" = None
    attests: frozenset[str] = frozenset()


class UsedMount(NamedTuple):
    """A cache mount that a step of a build asks for; what tells what other caches have of it."""

    wish: "CacheWish"
    elsewhere: Callable[[], Packed | None]


class Used(NamedTuple):
    """All that a build looked up or made, and the layers of it that other caches hold."""

    known: Portable
    elsewhere: Mapping[ChainID, Blob]
    mounts: Mapping[str, UsedMount] = {}


class BuildResult(NamedTuple):
    """The image, and every sentence of warning that was also sent as an event.

    `own_layers` of its layers, the topmost, are of the Dockerfile's steps, the others of its base;
    `carried_out` is how many steps were not known already. `used` is empty unless the request
    wanted to know. `images` are those for all platforms, in the order in which they were
    asked for.
    """

    image_id: ImageID
    warnings: tuple[str, ...]
    config: ImageConfig
    used: Used
    images: tuple[ImageConfig, ...]
    own_layers: int = 0
    carried_out: int = 0
    witness: "Witness | None" = None


class Held(Protocol):
    """What is known of a layer that is to be had, whether or not its files are here yet."""

    @property
    def diff_id(self) -> DiffID:
        """Its diff ID."""

    @property
    def chain_id(self) -> ChainID:
        """The chain that it is the top of."""

    @property
    def size(self) -> int:
        """What it brings, in apparent bytes; 0 while nobody has counted."""


class Layers(Protocol):
    """A store of layers, as `lamina.layers.LayerStore` is."""

    def held(self, chain_id: ChainID) -> Held | None:
        """The layer on top of a chain, if it is to be had; what is here stays during the build."""

    def version(
        self, parent: ChainID | None, before: ChainID
    ) -> "AbstractContextManager[Version | None]":
        """What a new layer over `parent` is beside an earlier one of it, the top of `before`.

        None where that is no gain.
        """

    def register_entries(
        self, parent: ChainID | None, source: "Source", version: "Version | None" = None
    ) -> "Layer":
        """Make a layer over `parent`; nothing is left when it raises.

        Raises `Unlike` where it is to be made without a `version`.
        """

    def create_rw(self, parent: ChainID | None) -> LayerID:
        """Make a read-write layer; gone with its maker unless it is removed before."""

    def snapshot_rw(self, layer: LayerID, *, clamp: int | None = None) -> "Layer | None":
        """What a read-write layer changed, as a layer; None when nothing."""

    def remove_rw(self, layer: LayerID) -> None:
        """Remove a read-write layer."""

    def resolve(self, target: ChainID, /) -> LayerID:
        """The layer on top of a chain."""

    def chain(self, chain_id: ChainID | None) -> "tuple[Layer, ...]":
        """Every layer of a chain, lowest first."""

    def index(self, layer: "Layer") -> "IndexReader":
        """What is known of each member of a layer's tar; the caller closes it."""

    def view(self, target: ChainID) -> "TreeView":
        """The merged tree of a chain; the caller closes it."""

    def barrier(self) -> None:
        """Make all that is visible survive a power cut."""

    @property
    def is_durable(self) -> bool:
        """Whether nothing waits for a barrier."""


class StoredLayers(Layers, Protocol):
    """The store itself: what it has is here."""

    def get(self, chain_id: ChainID, /) -> Held | None:
        """The layer on top of a chain, if it is here now."""

    def hold(self, *chains: ChainID) -> bool:
        """Keep chains while the store is open; False, and none is kept, when one has gone."""


class Images(Protocol):
    """A store of images, as `lamina.images.store.ImageStore` is."""

    def resolve(self, text: str, /) -> ImageID:
        """The image of that name or ID; raises `ImageNotFound`."""

    def config(self, image: ImageID, /) -> ImageConfig:
        """An image's config."""

    def create(self, config: ImageConfig, names: "tuple[Reference, ...]" = ()) -> ImageID:
        """Store an image over layers that are here, and let the names point at it."""

    def tag(self, image: ImageID, name: "Reference") -> object:
        """Let a name point at an image."""

    def is_annotated(self, image: ImageID) -> bool:
        """Whether an image has annotations of a build."""


Annotate = Callable[[ImageConfig, "tuple[Reference, ...]", Mapping[str, str]], bool]
"""Stores an image over layers that are here under a manifest with these annotations, or with none,
and lets the names point at it; gives whether anything was to be done. Raises a `StorageError`.
"""

Bases = Callable[[str, str], ImageID]
"""The image that FROM or COPY --from names, for a platform ("": any); raises `ImageNotFound`."""


class LayerMount(NamedTuple):
    """`path` of a layer's tree (no link in it; empty: all) seen at `target`.

    A read-write layer is mounted `writable`, whether or not it is to be seen `readonly`.
    """

    layer: LayerID
    writable: bool
    path: bytes
    is_directory: bool
    target: str
    readonly: bool


Mounted: TypeAlias = "LayerMount | File | Scratch | Volume"


class Command(NamedTuple):
    """A RUN command as it is to be executed: in the stage's tree, with nothing of the host's.

    `user` is the text as written (empty: root); `network` is `host` or `none`. What is
    `confidential` has a secret in its environment, which goes to no disk.
    """

    argv: tuple[str, ...]
    env: tuple[str, ...]
    cwd: str
    user: str
    network: str
    mounts: tuple[Mounted, ...] = ()
    confidential: bool = False
    insecure: bool = False
    surroundings: "Surroundings | None" = None


Output = Callable[[int, bytes], None]
"""Takes what a command wrote, to stream 1 or 2; may be called from another thread."""


class Runner(Protocol):
    """Runs commands."""

    def run(self, layer: LayerID, command: Command, output: Output, stop: "Stop") -> "Exit":
        """Run over a read-write layer and say how it ended; raises `RuntimeFailure`.

        A `stop` kills the command.
        """

    def shell(
        self, layer: LayerID, command: Command, stdio: "Stdio", *, tty: bool
    ) -> AbstractContextManager["Running"]:
        """A shell over a read-write layer with all that `command` has; ended with the block.

        Raises `RuntimeFailure`.
        """


Shell = Callable[["Stdio", bool], AbstractContextManager["Running"]]
"""Starts a shell over three descriptors, on a terminal or not; raises `RuntimeFailure`."""
Debug = Callable[[Shell], None]
"""Is handed the means to look around where a command failed, and comes back when it has."""


class Cache(Protocol):
    """What steps gave, by key; and what is only worth knowing in this store."""

    def find(self, key: str) -> Record | None:
        """The record of `key`, if its layer is to be had."""

    def record(self, key: str, record: Record) -> None:
        """Remember; the newest answer stands."""

    def recall(self, key: str) -> Record | None:
        """What was noted under `key`; this is in no cache that others are given."""

    def note(self, key: str, record: Record) -> None:
        """Note it for this store alone; the newest note stands."""

    def stat_cache(self, context: str) -> "StatCache":
        """What is known of the files of a context, to be saved after the build."""

    def single_flight(self, key: str, stop: "Stop") -> AbstractContextManager[None]:
        """Hold off everybody else who wants to carry out the same step; raises `Stopped`."""


class CacheWish(NamedTuple):
    """A cache mount that a command asks for, to be shared so; `path` is the directory in it."""

    name: "MountName"
    sharing: str
    path: str

    @property
    def key(self) -> str:
        """Which one."""
        return self.name.key

    @property
    def title(self) -> str:
        """What people call it."""
        return self.name.id


Seed = Callable[[int], None]
"""Fills a directory, by its descriptor, with what a cache mount held elsewhere.

Raises a `LaminaError`; what was written until then is the caller's to remove.
"""
Seeds: TypeAlias = "Callable[[MountName], Seed | None]"
"""What a cache mount begins with, where it is not here yet; None for nothing."""


class Carried(NamedTuple):
    """What a cache mount holds, as a layer's members, which may be read once.

    `left_out` are the names of files that could not be, complete when all is read.
    """

    members: "MemberStream"
    left_out: Sequence[bytes]


class MountStore(Protocol):
    """What lasts of RUN's mounts: the cache mounts, and a place for sockets."""

    def taken(
        self,
        wishes: Sequence[CacheWish],
        say: Callable[[str], None],
        stop: "Stop",
        seeds: Seeds,
    ) -> AbstractContextManager[tuple[LayerID, ...]]:
        """The layers of caches, each shared or locked as wished for the block's time.

        Waits for who has one locked, and says so; raises `Stopped`. One that is not here is made
        of its seed, else empty.
        """

    def carried(
        self, wish: CacheWish, say: Callable[[str], None], stop: "Stop"
    ) -> "AbstractContextManager[Carried | None]":
        """What a cache mount holds, as a command of that wish would find it; None: it is not here.

        Waits as `taken` does.
        """

    def scratch(self, name: str) -> str:
        """A path for a file of this build alone, which goes with it."""

    def workplace(self) -> AbstractContextManager[str]:
        """An empty directory for the block's time; raises `BuildError` where there is none."""
