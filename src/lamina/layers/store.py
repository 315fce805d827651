"""The layers of one store: what is here, how it is reached, and what keeps it alive.

    staging row -> driver object -> index -> ready row          (register, create_rw)
    ready row -> removing row -> driver object -> no row        (collect)
    staging or removing row -> driver object -> no row         (remove_rw, a failed register)

Every arrow may be the last one before a kill: the row is written before the driver's object is
made and dropped after it is gone, so that recovery always finds by name what to finish or undo.
Readers see only `ready` rows and take no lock.

What extracts, packs and exports is imported when it is first used: a command that only looks
or runs does not pay for it.
"""

import os
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from lamina.drivers.api import SharesMounts
from lamina.errors import LaminaError
from lamina.fs.faults import crash_point
from lamina.fs.locks import FileLock, Rank
from lamina.layers import gc
from lamina.layers.active import ActiveLayers
from lamina.layers.kinds import Claim, ReadableStream, Source
from lamina.layers.layer import Layer
from lamina.metadata import blobs, layers, refs
from lamina.metadata.db import set_meta
from lamina.values.digest import ChainID, DiffID
from lamina.values.ids import LayerID

if TYPE_CHECKING:  # loaded by what does more than look at rows
    from lamina.archive.entry import Write
    from lamina.archive.index import IndexReader
    from lamina.fs.mounting import MountPlan
    from lamina.fs.tree import TreeView
    from lamina.layers.versions import Version

_LOCK_DIGITS = 4  # 65,536 lock files: a pull holds one a layer, and who shares one waits for it


class LayerStore(ActiveLayers):
    """All layers on one driver beneath one root."""

    # --- what is here -------------------------------------------------------------------

    def get(self, chain_id: ChainID) -> Layer | None:
        """The layer on top of `chain_id`, if the whole chain is here."""
        with self.root.database.read() as db:
            row = layers.by_chain(db, chain_id)
        return Layer.from_row(row) if row is not None else None

    def chain(self, chain_id: ChainID | None) -> tuple[Layer, ...]:
        """Every layer of a chain, lowest first; raises `LayerNotFound`."""
        found: list[Layer] = []
        with self.root.database.read() as db:
            at = self._row(chain_id) if chain_id is not None else None
            while at is not None:
                found.append(Layer.from_row(at))
                at = layers.by_id(db, at.below) if at.below is not None else None
        return tuple(reversed(found))

    def all(self) -> tuple[Layer, ...]:
        """Every committed layer, oldest first."""
        with self.root.database.read() as db:
            return tuple(Layer.from_row(row) for row in layers.ready(db) if row.chain_id)

    def hold(self, *chains: ChainID) -> bool:
        """Keep chains from being collected while this store is open.

        False when one of them is gone; then none is kept.
        """
        with self.root.database.write() as db:
            if any(layers.by_chain(db, each) is None for each in chains):
                return False
            for each in chains:
                refs.add(db, refs.LEASE, self.root.lease, each)
        return True

    def held(self, chain_id: ChainID) -> Layer | None:
        """The layer on top of a chain, kept by this opener from now on; None when it is gone."""
        known = self.get(chain_id)
        return known if known is not None and self.hold(chain_id) else None

    # --- making layers ------------------------------------------------------------------

    def register(
        self,
        parent: ChainID | None,
        stream: ReadableStream,
        *,
        expect: DiffID | None = None,
        claim: Claim | None = None,
    ) -> Layer:
        """Lay the tar `stream`, compressed or not, over `parent`.

        Two processes that register the same expected layer, or of equal claims, at once extract
        it once. Raises `BadArchive` for a broken or hostile tar, `DigestMismatch` when it is not
        `expect`, and `StorageError`; nothing is left then. Durable only after `barrier`.
        """
        from lamina.layers.source import TarSource

        source = TarSource(stream)
        if claim is None or expect is not None:
            return self._register(parent, source, expect)
        return self._register_claimed(parent, source, claim)

    def version(
        self, parent: ChainID | None, before: ChainID
    ) -> "AbstractContextManager[Version | None]":
        """What a new layer over `parent` is beside an earlier one of it, the top of `before`.

        None where the driver, or that layer, makes it no gain to stand on that.
        """
        from lamina.layers import versions

        if not self.hold(before):
            return nullcontext()
        return versions.of(self.root, self.driver, self.parent_row(parent), before)

    def register_entries(
        self, parent: ChainID | None, source: Source, version: "Version | None" = None
    ) -> Layer:
        """The same for entries that become a tar on the way (COPY, commit).

        Those of a `version` make a layer that stands on an earlier one; raises `Unlike` where it
        is to be made without, and nothing is left.
        No row of it is written to disk before the next barrier: a build pays for one, not for
        one a step, and a power cut before may leave a stray that `check` tells of.
        """
        from lamina.layers import unpack

        row = self.parent_row(parent)
        return unpack.register(
            self.root, self.driver, row, source, None, durable=False, version=version
        )

    def _register(self, parent: ChainID | None, source: Source, expect: DiffID | None) -> Layer:
        from lamina.layers import unpack

        if expect is None:
            return unpack.register(self.root, self.driver, self.parent_row(parent), source, None)
        wanted = ChainID.extend(parent, expect)
        with self.lock_for(wanted).exclusive():
            known = self.held(wanted)
            if known is not None:
                return known
            row = self.parent_row(parent)
            return unpack.register(self.root, self.driver, row, source, expect)

    def _register_claimed(self, parent: ChainID | None, source: Source, claim: Claim) -> Layer:
        from lamina.layers import claim as claims

        with claims.taken(self.root, parent, claim.name) as held:
            shared = self.held(held.made) if held.made is not None else None
            if shared is not None:
                return shared
            held.begin()
            layer = self._register(parent, source, None)
            if claim.holds():
                held.leave(layer.chain_id)
            return layer

    def lock_for(self, chain_id: ChainID) -> FileLock:
        """The lock for single flight on one chain ID."""
        return self.root.lock(Rank.LAYER, "layers", chain_id.hex[:_LOCK_DIGITS])

    # --- reaching layers ----------------------------------------------------------------

    def resolve(self, target: ChainID | LayerID) -> LayerID:
        """The driver's layer for a chain ID; a layer ID is its own."""
        return target if isinstance(target, LayerID) else self._row(target).id

    def view(self, target: ChainID | LayerID) -> "TreeView":
        """The merged tree of a layer, without a mount; the caller closes it."""
        return self.driver.view(self.resolve(target))

    def mounts(self, layer: LayerID, *, writable: bool) -> "MountPlan":
        """How to mount a layer with all below it; while it is mounted, it is not removed."""
        plan = self.driver.mounts(layer, writable=writable)
        return plan._replace(holds=(*plan.holds, gc.use_lock(self.root, layer).path))

    def export(self, chain_id: ChainID, write: "Write") -> None:
        """Write the top layer's tar exactly as it came, verified by its diff ID.

        Raises `StoreDamaged` when the layer's files are no longer those of the tar.
        """
        from lamina.layers import export

        export.export(self.root, self.driver, self._row(chain_id), write)

    def index(self, layer: Layer) -> "IndexReader":
        """What is known of each member of a layer's tar; the caller closes it.

        Raises `StoreDamaged`.
        """
        from lamina.archive.index import IndexReader
        from lamina.layers import indexes

        return IndexReader(indexes.path(self.root, self._row_by_id(layer.id)))

    def tar_size(self, chain_id: ChainID) -> int:
        """How many bytes `export` will write for the top layer of a chain."""
        from lamina.layers import export

        return export.tar_size(self.root, self._row(chain_id))

    # --- keeping and reclaiming ---------------------------------------------------------

    def barrier(self) -> None:
        """Make all that is visible now survive a power cut.

        What others finish while it goes on is their own barrier's matter.
        """
        with self.root.database.read() as db:
            ready = layers.undurable(db)
            announced = blobs.undurable(db)
        placed = [each for each in announced if os.path.exists(gc.blob_path(self.root, each))]
        self.root.barrier()
        crash_point("synced")
        with self.root.database.write(durable=True) as db:
            layers.mark_durable(db, ready)
            blobs.mark_durable(db, placed)
            generation = int(self.root.database.meta().get("generation", "0")) + 1
            set_meta(db, "generation", str(generation))
        crash_point("durable")
        self.root.note_generation(generation)

    @property
    def is_durable(self) -> bool:
        """Whether no layer and no blob waits for a barrier."""
        with self.root.database.read() as db:
            return not layers.undurable(db) and not blobs.undurable(db)

    def release(self) -> None:
        """Let go of what `hold` and making kept."""
        self._let_go()

    def _let_go(self) -> bool:
        """Whether something is left now that nobody needs; noted, should we not get to it."""
        if not (self.root.has_lease and self._holds_anything()):
            return False
        with self.root.database.write() as db:
            held = refs.targets(db, refs.LEASE, self.root.lease)
            left = refs.notes_garbage(db, self.root.lease)  # an earlier collecting failed
            refs.drop_owner(db, refs.LEASE, self.root.lease)
            idle = any(layers.is_idle(db, target) for target in held)
            garbage = left or idle or bool(blobs.unreferenced(db))
            if garbage:
                refs.note_garbage(db, self.root.lease)
            return garbage

    def _holds_anything(self) -> bool:
        """Asked first, since who only looked writes nothing at its end."""
        with self.root.database.read() as db:
            held = refs.targets(db, refs.LEASE, self.root.lease)
            return bool(held or blobs.unreferenced(db))

    def close(self) -> None:
        """Let go of everything, and collect what nobody else needs; the root itself stays open.

        In a forked child nothing is let go of: it is its parent's.
        """
        if self.root.is_forked:
            return
        if self._let_go():
            try:
                self.reclaim()
            except LaminaError:
                pass  # what could not be removed is the next removal's matter
        if self._driver is not None and isinstance(self._driver, SharesMounts):
            self._driver.close()

    def reclaim(self) -> list[Layer]:
        """Remove every layer and blob that no reference reaches; gives the layers that went."""
        return [Layer.from_row(row) for row in gc.reclaim(self.root, self.driver) if row.chain_id]
