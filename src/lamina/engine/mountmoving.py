"""Cache mounts as an archive: a build's cache that knows no step. Loaded by who saves or loads."""

from collections.abc import Callable, Sequence
from functools import partial

from lamina.build import cachemedia, cachewriting
from lamina.build.api import CacheWish, Used, UsedMount
from lamina.build.cachemounts import StoreMounts
from lamina.build.cachewishes import LOCAL, TAG, CacheTo
from lamina.build.mountfilling import fill
from lamina.build.mountname import MountName
from lamina.build.record import Blob, Portable
from lamina.build.stop import Stop
from lamina.content.verified import ByteStream
from lamina.engine.parts import Parts
from lamina.engine.platforms import platform_of
from lamina.errors import BadDocument
from lamina.images.tape import StreamTape
from lamina.layers.store import LayerStore
from lamina.transfer.ends.layout import LayoutSource, names_for
from lamina.transfer.ends.ociarchive import OciArchiveSink
from lamina.transfer.naming import named
from lamina.transfer.opening import opened_members
from lamina.values.events import Sink


def save(
    layers: LayerStore,
    names: Sequence[MountName],
    write: Callable[[bytes], object],
    events: Sink,
) -> None:
    """Write mounts as an OCI archive; raises a `StorageError`."""
    wishes = {name.key: UsedMount(CacheWish(name, "shared", ""), lambda: None) for name in names}
    found = Used(Portable({}, {}), {}, wishes)
    sink = OciArchiveSink(StreamTape(write), names_for(TAG))
    wish = CacheTo(LOCAL, every_mount=True)
    cachewriting.write(wish, found, frozenset(), layers, StoreMounts(layers), sink, events)
    sink.finish()


def load(engine: Parts, source: str | ByteStream, events: Sink) -> list[tuple[MountName, bool]]:
    """Take in mounts that are not here; tells of each whether it was not."""
    if isinstance(source, str):
        from lamina.registry import policy

        policy.read(engine.config.environ).refuse_file("oci", source)
    title = source if isinstance(source, str) else "the archive"
    with (
        named(source if isinstance(source, str) else None),
        opened_members(source, engine.layers) as members,
    ):
        content = LayoutSource(members, "")
        opened = cachemedia.read(content, [platform_of(None)], title)
        store, loaded = StoreMounts(engine.layers), []
        for filling in opened.known.mounts.values():
            about = opened.blobs.get(filling.blob)
            if about is None:
                raise BadDocument(f"the cache mount {filling.name.id} is not in it")
            blob = Blob(about, partial(opened.open, about))
            seed = partial(fill, filling=filling, blob=blob, stop=Stop())
            with named(filling.name.id):
                loaded.append((filling.name, store.begin(filling.name, seed)))
        return loaded
