"""What the store is, what it holds, and what it could give back."""

import json
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from lamina.analyze.sharing import ImageChain
from lamina.drivers import select
from lamina.drivers.api import CopiesParents
from lamina.engine.cachemounts import CacheMount, CacheMounts
from lamina.engine.parts import Parts
from lamina.errors import LayerNotFound
from lamina.layers.finding import Finding
from lamina.layers.layer import Layer
from lamina.metadata import blobs as blob_rows
from lamina.metadata import cache as cache_rows
from lamina.metadata import containers as container_rows
from lamina.metadata import refs
from lamina.runtime.isolation import Isolation
from lamina.values.digest import ChainID, ImageID
from lamina.values.reference import Reference

if TYPE_CHECKING:  # only what dedupes needs it
    from lamina.layers.dedupe import Deduped


class Piece(NamedTuple):
    """What a layer has on disk by itself, in bytes."""

    chain_id: ChainID
    size: int


class ImageLayers(NamedTuple):
    """An image with its layers, lowest first, for pictures of what is shared.

    `bases` are the others that some of them stand on (lamina.layers.versions).
    """

    id: ImageID
    names: tuple[str, ...]
    created: float
    layers: tuple[Layer, ...]
    commands: tuple[str, ...]
    containers: int
    bases: tuple[Layer, ...] = ()

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """What of it lies on disk."""
        kept = {each.chain_id: each for each in (*self.bases, *self.layers)}
        return tuple(Piece(each.chain_id, each.written) for each in kept.values())

    @property
    def chain(self) -> ImageChain:
        """For the arithmetic of sharing."""
        return ImageChain(self.id, self.names, self.layers, self.pieces)


class ContainerUsage(NamedTuple):
    """A container with the bytes it wrote over its image."""

    name: str
    size: int
    running: bool
    image: ImageID


class VolumeUsage(NamedTuple):
    """A volume with the bytes in it, and whether containers use it."""

    name: str
    size: int
    in_use: bool


class CachedStep(NamedTuple):
    """A record of the build cache that holds a layer: what was done, when, and its bytes."""

    key: str
    operation: str
    what: str
    created: float
    size: int
    chain_id: ChainID


class Usage(NamedTuple):
    """What lies in the store: images with their layers, containers, caches, blobs.

    Sizes in bytes; `cached` are the chains that records of the build cache stand on.
    """

    images: tuple[ImageLayers, ...]
    layers: tuple[Layer, ...]
    containers: tuple[ContainerUsage, ...]
    cached: frozenset[ChainID]
    blob_bytes: int
    copies_parents: bool
    cache_mounts: tuple[CacheMount, ...] = ()
    volumes: tuple[VolumeUsage, ...] = ()


class System:
    """The store as a whole."""

    def __init__(self, engine: Parts) -> None:
        self._engine = engine

    def status(self) -> tuple[tuple[str, str], ...]:
        """The driver's own rows for `info`."""
        return self._engine.layers.driver.status()

    @property
    def isolation(self) -> Isolation:
        """What keeps containers apart here, and why."""
        return self._engine.container_store.isolation

    @property
    def seccomp(self) -> str:
        """By what system calls of containers are filtered where nothing is said of it.

        `builtin`, a profile's file, `unconfined`, or empty where none can be filtered.
        """
        from lamina.execution.filtering import filters  # few ask

        return (self._engine.config.seccomp_profile or "builtin") if filters(self.isolation) else ""

    @property
    def cgroup_version(self) -> str:
        """Of which version the control groups are that limit containers here: 1 or 2."""
        from lamina.fs.cgroups import hierarchies  # few ask

        return "1" if "memory" in hierarchies().of else "2"

    def why(self) -> tuple[select.Verdict, ...]:
        """Of each driver, why it was or was not taken, with the kernel's own words."""
        choice = self._engine.choice
        root = self._engine.layers.root.path
        source = self._engine.config.driver_source
        reason = f"{choice.reason} ({source})" if source else choice.reason
        return select.verdicts(root, choice.name, reason, self._engine.config.storage_opts)

    def usage(self) -> Usage:
        """What lies in the store, told by its rows; only read-write layers are walked."""
        engine = self._engine
        with engine.layers.root.database.read() as db:
            cached = {row.chain_id for row in cache_rows.all_rows(db) if row.chain_id}
            blob_bytes = sum(row.size for row in blob_rows.all_rows(db))
        return Usage(
            self.images(),
            engine.layers.all(),
            self._containers(),
            frozenset(cached),
            blob_bytes,
            isinstance(engine.layers.driver, CopiesParents),
            CacheMounts(engine).list(),
            self._volumes(),
        )

    def _volumes(self) -> tuple[VolumeUsage, ...]:
        from lamina.engine.volumes import Volumes  # few look at them

        return tuple(
            VolumeUsage(each.name, each.size, bool(each.users))
            for each in Volumes(self._engine).list()
        )

    def images(self) -> tuple[ImageLayers, ...]:
        """Every image with its layers and the commands that made them."""
        engine = self._engine
        with engine.layers.root.database.read() as db:
            users = [row.image_id for row in container_rows.all_rows(db)]
        known = {layer.id: layer for layer in engine.layers.all()}
        found = []
        for named in engine.image_store.all():
            config = engine.image_store.config(named.row.id)
            chain = engine.layers.chain(named.row.top_chain)
            commands = tuple(entry.created_by for entry in config.history if not entry.empty_layer)
            found.append(
                ImageLayers(
                    named.row.id,
                    tuple(Reference.parse(name).familiar for name in named.names),
                    named.row.created,
                    chain,
                    commands,
                    users.count(named.row.id),
                    tuple(known[each.base] for each in chain if each.base in known),
                )
            )
        return tuple(found)

    def _containers(self) -> tuple[ContainerUsage, ...]:
        found = []
        for stored in self._engine.container_store.all():
            with suppress(LayerNotFound):  # it was removed meanwhile
                size = self._engine.layers.usage(stored.row.layer_id).size
                row = stored.row
                found.append(ContainerUsage(row.name, size, stored.is_up, row.image_id))
        return tuple(found)

    def check(self, *, full: bool = False) -> list[Finding]:
        """What is not as the rows say; with `full` every layer is read and hashed."""
        from lamina.layers.check import check

        return check(self._engine.layers.root, self._engine.layers.driver, full=full)

    def repair(self, findings: list[Finding]) -> list[str]:
        """Set strays aside; gives where each lies now."""
        from lamina.layers.check import set_aside

        layers = self._engine.layers
        return [set_aside(layers.root, layers.driver, each) for each in findings if each.path]

    def cached_steps(self) -> tuple[CachedStep, ...]:
        """The steps whose layers the build cache holds, newest first."""
        engine = self._engine
        with engine.layers.root.database.read() as db:
            rows = cache_rows.all_rows(db)
        layers = {layer.chain_id: layer for layer in engine.layers.all()}
        return tuple(
            CachedStep(
                row.key,
                *_told(row.inputs),
                row.created,
                layers[row.chain_id].size,
                row.chain_id,
            )
            for row in rows
            if row.chain_id in layers
        )

    def prune_cache(self, until: float | None = None) -> int:
        """Forget the build cache and collect what it alone held; gives the bytes.

        With `until` (seconds since the epoch) only what was recorded before.
        """
        engine = self._engine
        with engine.layers.root.database.write() as db:
            for row in cache_rows.all_rows(db):
                if until is None or row.created < until:
                    cache_rows.forget(db, row.key)
            refs.note_garbage(db, engine.layers.root.lease)
        return sum(layer.written for layer in engine.layers.reclaim())

    def dedupe(self) -> "Deduped":
        """Let equal files of different layers share their blocks, where the file system can.

        Nothing of any layer changes. Raises `DriverError` where it cannot be done.
        """
        from lamina.layers.dedupe import dedupe

        return dedupe(self._engine.layers)

    def facts(self) -> dict[str, str | int | bool]:
        """This machine, for `info`."""
        name = os.uname()
        return {
            "KernelVersion": name.release,
            "Architecture": name.machine,
            "Name": name.nodename,
            "NCPU": os.cpu_count() or 1,
            "MemTotal": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            "IPv4Forwarding": _forwards(),
            "OperatingSystem": _release().get("PRETTY_NAME", "Linux"),
            "OSVersion": _release().get("VERSION_ID", ""),
            "SystemTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }


def _told(inputs: str) -> tuple[str, str]:
    """What a record says was done: the operation, and the command or the destination."""
    try:
        facts = json.loads(inputs)["facts"]
        argv = facts.get("argv")
        what = argv[-1] if isinstance(argv, list) and argv else facts.get("destination", "")
        return str(facts["op"]), str(what)
    except (ValueError, KeyError, TypeError, AttributeError):
        return "unknown", ""


def _release() -> dict[str, str]:
    """What os-release tells of this machine's distribution."""
    found = {}
    try:
        with open("/etc/os-release", encoding="utf-8", errors="replace") as file:
            for line in file:
                key, _, value = line.partition("=")
                found[key] = value.strip().strip('"')
    except OSError:
        pass
    return found


def _forwards() -> bool:
    """Whether this machine passes packets on."""
    try:
        with open("/proc/sys/net/ipv4/ip_forward", "rb") as file:
            return file.read(1) == b"1"
    except OSError:
        return False
