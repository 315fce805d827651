"""An open store, grouped into areas. Each area is made when it is first used."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lamina.content.directory import BlobStore
from lamina.drivers.api import Driver
from lamina.drivers.select import Choice
from lamina.engine.config import Config
from lamina.images.store import ImageStore
from lamina.layers.store import LayerStore
from lamina.metadata.root import StoreRoot
from lamina.values.closing import Closing
from lamina.values.events import Sink

if TYPE_CHECKING:  # each area is loaded when it is first used
    from lamina.analyze.sharing import Sharing
    from lamina.containers.store import ContainerStore
    from lamina.engine.cachemounts import CacheMounts
    from lamina.engine.containers import Containers
    from lamina.engine.events import EventStream
    from lamina.engine.images import Images
    from lamina.engine.migration import Migration
    from lamina.engine.registries import Logins, Registries
    from lamina.engine.system import System
    from lamina.engine.volumes import Volumes


class Engine(Closing):
    """`images`, `containers`, `volumes`, `cache_mounts`, `migration`, `system` over one store.

    A context manager. Use it from one thread; open another for another thread.
    """

    def __init__(
        self,
        *,
        root: StoreRoot,
        layers: LayerStore,
        blobs: BlobStore,
        images: ImageStore,
        config: Config,
        choice: Choice,
        run_root: str,
        events: Sink,
    ) -> None:
        self.root = root
        self.layers = layers
        self.blobs = blobs
        self.image_store = images
        self.config = config
        self.choice = choice
        self.run_root = run_root
        self.sink = events
        self._containers: ContainerStore | None = None

    @property
    def driver(self) -> Driver:
        """The storage driver in use."""
        return self.layers.driver

    @property
    def container_store(self) -> "ContainerStore":
        """The containers as stored things."""
        if self._containers is None:
            from lamina.containers.store import ContainerStore
            from lamina.runtime.isolation import choose

            self._containers = ContainerStore(
                self.layers, self.image_store, choose(self.config.isolation), self.run_root
            )
        return self._containers

    @property
    def images(self) -> "Images":
        """Build, load, list, tag, save and remove images."""
        from lamina.engine.images import Images

        return Images(self)

    @property
    def containers(self) -> "Containers":
        """Make, run, list and remove containers."""
        from lamina.engine.containers import Containers

        return Containers(self)

    @property
    def volumes(self) -> "Volumes":
        """Make, list and remove volumes."""
        from lamina.engine.volumes import Volumes

        return Volumes(self)

    @property
    def cache_mounts(self) -> "CacheMounts":
        """List, save, load and remove what `RUN --mount=type=cache` keeps."""
        from lamina.engine.cachemounts import CacheMounts

        return CacheMounts(self)

    @property
    def migration(self) -> "Migration":
        """Take over images from another engine's store, or move to another driver."""
        from lamina.engine.migration import Migration

        return Migration(self)

    def registries(
        self, *, verify_tls: bool = True, logins: "Logins | None" = None
    ) -> "Registries":
        """Log in to registries, list their tags; without `verify_tls` any certificate will do.

        With `logins` (user, secret and identity token by the registry's domain) these alone are
        used, and nothing that files tell.
        """
        from lamina.engine.registries import Registries

        return Registries(self, verify_tls=verify_tls, logins=logins)

    @property
    def system(self) -> "System":
        """What the store is, holds, and could give back."""
        from lamina.engine.system import System

        return System(self)

    def events(
        self,
        *,
        since: float | None = None,
        until: float | None = None,
        filters: Mapping[str, Sequence[str]] | None = None,
    ) -> "EventStream":
        """What happens to containers, images and volumes from now on, or since then, as it comes.

        Ends at `until` (both in seconds since the epoch), else when it is closed, which any thread
        may do. `filters` are docker's: `{"type": ["container"], "event": ["die"]}`. The newest few
        thousand events are kept. Raises `UsageError` for what is no filter.
        """
        from lamina.engine.events import EventStream

        return EventStream(self.container_store, since, until, filters or {})

    def sharing(self) -> "Sharing":
        """What images share of each other's layers; bytes of each that are its own alone."""
        from lamina.analyze.sharing import sharing

        images = self.system.images()
        return sharing([each.chain for each in images])

    def close(self) -> None:
        """Give up the store; what this engine was still making is undone by the next opener."""
        self.layers.close()
        self.root.close()
