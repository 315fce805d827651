"""The images of one store: create, name, find, list, remove.

An image is visible once its row is; its config blob and its layers are there before, held by the
maker's lease.
"""

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from lamina.content.directory import BlobStore
from lamina.errors import ImageNotFound, InUse, LaminaError, LayerNotFound
from lamina.fs.faults import crash_point
from lamina.images import finding
from lamina.layers.store import LayerStore
from lamina.metadata import blobs as blob_rows
from lamina.metadata import images as image_rows
from lamina.metadata import layers as layer_rows
from lamina.metadata import refs
from lamina.metadata.blobs import BlobRow
from lamina.metadata.images import ImageRow
from lamina.metadata.root import StoreRoot
from lamina.spec import mediatypes, strictjson
from lamina.spec.imageconfig import ImageConfig
from lamina.values.digest import BlobDigest, ChainID, DiffID, ImageID, chain_ids
from lamina.values.reference import Reference

if TYPE_CHECKING:  # a listing tells of nothing
    from lamina.images.telling import Occasion


class NamedImage(NamedTuple):
    """An image's row and the canonical names that point at it."""

    row: ImageRow
    names: tuple[str, ...]


class Removed(NamedTuple):
    """One thing that `rmi` did: a name taken away, or an image or a layer deleted."""

    what: str
    subject: str


class KeptLayer(NamedTuple):
    """A compressed layer as it came: kept, so that a later push has the same digest.

    Whoever states one has read the blob, and it was the layer of that diff ID.
    """

    digest: BlobDigest
    size: int
    media_type: str
    diff_id: DiffID


class ImageStore:
    """Images over `layers`, with their documents in `blobs`."""

    def __init__(self, root: StoreRoot, blobs: BlobStore, layers: LayerStore) -> None:
        self.root = root
        self.blobs = blobs
        self.layers = layers

    # --- finding ------------------------------------------------------------------------

    def resolve(self, text: str) -> ImageID:
        """The image that a name, a digest or an unambiguous piece of an ID means, as docker's.

        Raises `ImageNotFound`.
        """
        with self.root.database.read() as db:
            return finding.resolve(db, text)

    def meant(self, text: str) -> list[tuple[ImageID, str | None]]:
        """The images and canonical names that `save` takes `text` for, as docker's does.

        A repository without a tag means all of its tags; an ID means no name. Raises
        `ImageNotFound`.
        """
        with self.root.database.read() as db:
            found = finding.in_repository(db, text)
        if found:
            return [(image, name) for name, image in found]
        image = self.resolve(text)
        return [(image, finding.name_meant(text, self.row(image).names))]

    def pointed_at(self, name: str) -> ImageID | None:
        """The image that a canonical name points at."""
        with self.root.database.read() as db:
            return image_rows.by_name(db, name)

    def row(self, image: ImageID) -> NamedImage:
        """The row of an image; raises `ImageNotFound`."""
        with self.root.database.read() as db:
            row = image_rows.get(db, image)
            if row is None:
                raise ImageNotFound(f"no such image: {image.short}")
            return NamedImage(row, tuple(image_rows.names_of(db, image)))

    def all(self) -> tuple[NamedImage, ...]:
        """Every image, newest first."""
        with self.root.database.read() as db:
            names = image_rows.all_names(db)
            rows = image_rows.all_rows(db)
        return tuple(NamedImage(row, tuple(names.get(row.id, ()))) for row in rows)

    def config(self, image: ImageID) -> ImageConfig:
        """The image's config, from its verified bytes."""
        return ImageConfig.parse(self.blobs.read(image, strictjson.LIMIT))

    # --- making -------------------------------------------------------------------------

    def create(
        self,
        config: ImageConfig,
        names: tuple[Reference, ...] = (),
        *,
        manifest: tuple[bytes, str] | None = None,
        kept: tuple[KeptLayer, ...] = (),
        told: "Occasion" = "tag",
        annotated: bool | None = None,
    ) -> ImageID:
        """Make the image of a config whose layers are all here, and let `names` point at it.

        `manifest` is the document it came with and its media type, `kept` the compressed layers
        it came with; `told` is as what that is told. What is here already stays, but for the
        manifest of an earlier build where this one is a build's, `annotated` or not. Raises
        `LayerNotFound`.
        """
        from lamina.images.telling import tell_made

        chain = chain_ids(config.diff_ids)
        row = ImageRow(
            config.id,
            config.created_at,
            self._size(chain),
            chain[-1] if chain else None,
            len(chain),
            BlobDigest.of(manifest[0]) if manifest is not None else None,
            json.dumps(config.config.labels or {}),
            time.time(),
        )
        self.announce(config.raw, mediatypes.OCI_CONFIG)
        self.blobs.put_bytes(config.raw, owner=self.root.lease)
        if manifest is not None:
            self.announce(*manifest)
            self.blobs.put_bytes(manifest[0], owner=self.root.lease)
        crash_point("image-blobs")
        with self.root.database.write() as db:
            image_rows.add(db, row)
            _claim(db, config.id, kept)
            if annotated is not None and image_rows.annotate(
                db, config.id, row.manifest if annotated else None
            ):
                refs.note_garbage(db, self.root.lease)
            for name in names:
                image_rows.point(db, str(name.with_default_tag()), config.id)
            tell_made(db, row, names, told)
        crash_point("image-created")
        return config.id

    def announce(self, data: bytes, media_type: str) -> None:
        """Write down that a document is about to be put into the blobs, and hold it."""
        self.announce_blob(BlobRow(BlobDigest.of(data), len(data), media_type, None))

    def announce_blob(self, row: BlobRow) -> None:
        """Write down that a blob is about to be put in place, and hold it till an image has it."""
        with self.root.database.write(durable=True) as db:  # its file may outlive a power cut
            self._announce(db, row)
        crash_point("blob-announced")

    def _announce(self, db: sqlite3.Connection, row: BlobRow) -> None:
        refs.add(db, refs.LEASE, self.root.lease, row.digest)
        blob_rows.record(db, row, created=time.time(), boot_id=self.root.boot_id)

    def announce_ingests(self, rows: Iterable[BlobRow]) -> None:
        """As `announce_blob`, of blobs to be fetched: what came of them stays for a day."""
        with self.root.database.write(durable=True) as db:
            for row in rows:
                refs.add(db, refs.INGEST, str(int(time.time())), row.digest)
                self._announce(db, row)
        crash_point("blob-announced")

    def end_ingests(self, digests: Iterable[BlobDigest]) -> None:
        """Say that these blobs are here and claimed by whoever needs them."""
        with self.root.database.write() as db:
            for digest in digests:
                refs.drop_target(db, refs.INGEST, digest)

    @contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """When the block raises, what it held and put is given up again, and collected."""
        before = self._held()
        try:
            yield
        except BaseException:
            try:
                self._give_up(before)
            except LaminaError:
                pass  # the next opener finds it, since this lease will be dead
            raise

    def _held(self) -> set[str]:
        if not self.root.has_lease:
            return set()
        with self.root.database.read() as db:
            return set(refs.targets(db, refs.LEASE, self.root.lease))

    def _give_up(self, before: set[str]) -> None:
        if not self.root.has_lease:
            return
        with self.root.database.write() as db:
            now = refs.targets(db, refs.LEASE, self.root.lease)
            refs.drop(db, refs.LEASE, self.root.lease, set(now) - before)
            refs.note_garbage(db, self.root.lease)
        self.layers.reclaim()

    def _size(self, chain: tuple[ChainID, ...]) -> int:
        if not chain:
            return 0
        if not self.layers.hold(chain[-1]):
            raise LayerNotFound(f"the layers of the image are not here ({chain[-1].short})")
        return sum(layer.size for layer in self.layers.chain(chain[-1]))

    def manifest(self, image: ImageID) -> tuple[bytes, str] | None:
        """The manifest that an image came with, or was pushed with, and its media type."""
        digest = self.row(image).row.manifest
        if digest is None:
            return None
        with self.root.database.read() as db:
            row = blob_rows.get(db, digest)
        if row is None:
            return None
        return self.blobs.read(digest, strictjson.LIMIT), row.media_type

    def note_manifest(
        self, image: ImageID, manifest: tuple[bytes, str], kept: tuple[KeptLayer, ...]
    ) -> None:
        """Let an image have a manifest from now on; nothing when it was removed meanwhile."""
        self.announce(*manifest)
        digest = self.blobs.put_bytes(manifest[0], owner=self.root.lease)
        with self.root.database.write() as db:
            row = image_rows.get(db, image)
            if row is not None:
                image_rows.add(db, row._replace(manifest=digest))
                _claim(db, image, kept)

    def is_annotated(self, image: ImageID) -> bool:
        """Whether an image has annotations of a build, not such as it came with."""
        with self.root.database.read() as db:
            return image_rows.is_annotated(db, image)

    def vouch(self, row: BlobRow) -> None:
        """Say that a blob is the layer of its diff ID, by whoever made or read it."""
        with self.root.database.write() as db:
            blob_rows.vouch(db, row)

    def is_known(self, digest: BlobDigest, diff_id: DiffID) -> bool:
        """Whether a blob was read once and was the layer of that diff ID."""
        row = self.blob_row(digest)
        return row is not None and row.diff_id == diff_id

    def hold_blob(self, digest: BlobDigest, size: int) -> bool:
        """Keep a blob from being collected; False when it is not here, or of another size."""
        row = self.blob_row(digest)
        if row is None or row.size != size:
            return False
        self.announce_blob(row)
        return self.blobs.has(digest)  # still, now that it is held

    def compressed(self, diff_id: DiffID) -> list[BlobRow]:
        """The compressed forms of a layer that are here."""
        with self.root.database.read() as db:
            found = blob_rows.of_layer(db, diff_id)
        return [row for row in found if self.blobs.has(row.digest)]

    def blob_row(self, digest: BlobDigest) -> BlobRow | None:
        """What is written down of a blob, if it is here."""
        with self.root.database.read() as db:
            row = blob_rows.get(db, digest)
        return row if row is not None and self.blobs.has(digest) else None

    def repositories_of(self, digest: BlobDigest, domain: str) -> list[str]:
        """The paths under which a registry should have a blob, by the images here that have it."""
        with self.root.database.read() as db:
            owners = refs.owners_of(db, refs.IMAGE, digest)
            names = [name for each in owners for name in image_rows.names_of(db, ImageID(each))]
        found = (Reference.parse(name) for name in names)
        return sorted({each.path for each in found if each.domain == domain})

    # --- names and removal --------------------------------------------------------------

    def tag(self, image: ImageID, name: Reference) -> ImageID | None:
        """Let a name point at an image; gives the image it pointed at before."""
        from lamina.images.telling import tell_made

        with self.root.database.write() as db:
            row = image_rows.get(db, image)
            if row is None:
                raise ImageNotFound(f"the image {image.short} was removed just now")
            tell_made(db, row, (name,), "tag")
            return image_rows.point(db, str(name.with_default_tag()), image)

    def remove(self, text: str, *, force: bool = False) -> list[Removed]:
        """What `docker rmi` does: take away the name, and the image with its last name.

        By ID, an image with several names is only removed with `force`; one that a container
        uses only loses its names. Raises `ImageNotFound` or `InUse`.
        """
        done: list[Removed] | None = None
        while done is None:  # until nobody gave or took a name between the look and the deed
            image = self.resolve(text)
            done = self._remove(text, image, self.row(image).names, force)
        return done

    def _remove(
        self, text: str, image: ImageID, names: tuple[str, ...], force: bool
    ) -> list[Removed] | None:
        named = finding.name_meant(text, names)
        if named is not None and len(names) > 1:
            return self._untag(image, names, named)
        if named is None and len(names) > 1 and not force:
            raise InUse(
                f"the image {image.short} has {len(names)} names",
                hint="remove them one by one, or all with --force",
            )
        self._refuse_used(image, force)
        deleted = self.delete(image, names)
        if deleted is None:
            return None
        return [Removed("Untagged", Reference.parse(name).familiar) for name in names] + deleted

    def _untag(self, image: ImageID, names: tuple[str, ...], name: str) -> list[Removed] | None:
        from lamina.images.telling import tell_untagged

        with self.root.database.write() as db:
            if tuple(image_rows.names_of(db, image)) != names:
                return None
            image_rows.unname(db, name)
            tell_untagged(db, image, 1)
        return [Removed("Untagged", Reference.parse(name).familiar)]

    def _refuse_used(self, image: ImageID, force: bool) -> None:
        from lamina.metadata import containers  # only a removal asks who uses what

        with self.root.database.read() as db:
            users = containers.users_of(db, image)
        if users and not force:
            raise InUse(
                f"the image {image.short} is used by the container {users[0].name}",
                hint=f"remove it first (`lamina rm {users[0].name}`) or use --force",
            )

    def delete(self, image: ImageID, names: tuple[str, ...]) -> list[Removed] | None:
        """Delete an image with what it alone holds; its containers keep what they need.

        `names` are those it is known to have (canonical, sorted); when it has others by now,
        nothing is done, and None is given. What this very opener held of it, because it made or
        loaded it, it holds no longer.
        """
        from lamina.images.telling import tell_untagged
        from lamina.metadata import cache  # only a removal forgets steps

        chain = self.layers.chain(self.row(image).row.top_chain)
        with self.root.database.write(durable=True) as db:
            if tuple(image_rows.names_of(db, image)) != names:
                return None
            held = [*refs.targets(db, refs.IMAGE, image), *(each.chain_id for each in chain)]
            refs.drop(db, refs.LEASE, self.root.lease, held)
            refs.note_garbage(db, self.root.lease)
            tell_untagged(db, image, len(names))
            image_rows.remove(db, image)
            for layer in reversed(chain):
                if layer_rows.has_users(db, layer.chain_id):
                    break
                cache.forget_chain(db, layer.chain_id)
        crash_point("image-removed")
        done = [Removed("Deleted", str(image))]
        done += [Removed("Deleted", str(layer.chain_id)) for layer in self.layers.reclaim()]
        return done


def _claim(db: sqlite3.Connection, image: ImageID, kept: Iterable[KeptLayer]) -> None:
    for layer in kept:
        image_rows.claim(db, image, layer.digest)
        blob_rows.vouch(db, BlobRow(layer.digest, layer.size, layer.media_type, layer.diff_id))
