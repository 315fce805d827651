"""What is known of one container, as of the last look."""

from lamina.containers.health import Findings, findings
from lamina.containers.settings import Settings, laid_over
from lamina.containers.state import Status
from lamina.containers.store import StoredContainer
from lamina.engine.parts import Parts
from lamina.errors import ContainerNotFound, LayerNotFound
from lamina.metadata.exits import latest
from lamina.runtime.process import Volume
from lamina.spec.strictjson import Json
from lamina.values.digest import ImageID
from lamina.values.ids import ContainerID

_STOP_PATIENCE = 10.0  # seconds, as docker's


class ContainerFacts:
    """What one container is; `reload` looks again."""

    def __init__(self, engine: Parts, stored: StoredContainer) -> None:
        self._engine = engine
        self._store = engine.container_store
        self._stored = stored

    def __repr__(self) -> str:
        return f"<Container: {self.short_id} {self.name}>"

    def reload(self) -> None:
        """Look again; raises `ContainerNotFound` when it is gone."""
        self._stored = self._store.get(self.id)

    @property
    def id(self) -> ContainerID:
        """Its ID."""
        return self._stored.row.id

    @property
    def short_id(self) -> str:
        """Twelve digits of it."""
        return self._stored.row.id.short

    @property
    def name(self) -> str:
        """Its name."""
        return self._stored.row.name

    @property
    def status(self) -> Status:
        """`created`, `running`, `paused` or `exited`."""
        return self._stored.status

    @property
    def is_up(self) -> bool:
        """Whether it runs, or would go on if it were not paused."""
        return self._stored.is_up

    @property
    def image(self) -> ImageID:
        """The image it was made from."""
        return self._stored.row.image_id

    @property
    def image_name(self) -> str:
        """What the image was called when it was made."""
        return self._stored.row.image_name

    @property
    def settings(self) -> Settings:
        """How it is run."""
        return self._stored.settings

    @property
    def config(self) -> dict[str, Json]:
        """Its image's `config` object with what it was told itself: what a commit starts from."""
        from lamina.images.edit import config_of  # a listing makes none

        image = self._engine.image_store.config(self.image)
        return laid_over(config_of(image.document), self.settings)

    @property
    def created_at(self) -> float:
        """When it was made, in seconds since the epoch."""
        return self._stored.row.created

    @property
    def started_at(self) -> float | None:
        """When it was last started."""
        return self._stored.row.started

    @property
    def finished_at(self) -> float | None:
        """When it last ended."""
        return self._stored.row.finished

    @property
    def exit_code(self) -> int | None:
        """Its last exit status, as a shell shows it."""
        return self._stored.row.exit_code

    @property
    def error(self) -> str:
        """Why it could not be started, if so."""
        return self._stored.row.error

    @property
    def pid(self) -> int:
        """Its first process's ID while it runs, else 0."""
        if not self.is_up or self._stored.row.pid is None:
            return 0
        from lamina.execution.inside import first_pid

        return first_pid(self._stored.row.pid, self._store.root_path(self.id))

    @property
    def restarts(self) -> int:
        """How often it was started again by itself since its last start."""
        record = latest(self._store.folder(self.id))
        return 0 if record is None else record.restarts

    @property
    def health(self) -> Findings | None:
        """What checks of its health have found; None where nothing is, or was, checked."""
        return findings(self._store.folder(self.id)) if self.settings.health.is_on else None

    @property
    def log_path(self) -> str:
        """The file of what it writes while it runs detached; it need not be there."""
        return self._store.log_path(self.id)

    def source_of(self, volume: Volume) -> str:
        """Where what it is shown lies on this machine."""
        return self._store.volumes.path(volume.name) if volume.name else volume.source

    @property
    def graph_driver(self) -> tuple[tuple[str, str], ...]:
        """Where its read-write layer lies, as the driver tells it."""
        return self._engine.layers.driver.data(self._stored.row.layer_id)

    @property
    def size(self) -> int:
        """Apparent bytes of what it wrote; raises `ContainerNotFound` when it is gone."""
        try:
            return self._engine.layers.usage(self._stored.row.layer_id).size
        except LayerNotFound:
            raise ContainerNotFound(f"no such container: {self.name}") from None

    @property
    def image_size(self) -> int:
        """Apparent bytes of the layers that it stands on."""
        top = self._engine.image_store.config(self.image).top_chain
        return sum(layer.size for layer in self._engine.layers.chain(top))
