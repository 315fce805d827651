"""Containers, shaped as docker-py's: create, run, get, list, prune."""

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Unpack

from lamina.archive.entry import Write
from lamina.archive.results import Change
from lamina.containers.settings import Settings, laid_over
from lamina.containers.state import Status
from lamina.containers.store import StoredContainer
from lamina.content.verified import ByteStream
from lamina.engine.capturing import RunResult, captured
from lamina.engine.image import Image, tag_reference
from lamina.engine.parts import Parts
from lamina.errors import ContainerNotFound, InUse
from lamina.spec.strictjson import Json
from lamina.values.digest import ImageID
from lamina.values.events import Sink
from lamina.values.ids import ContainerID

if TYPE_CHECKING:  # what makes and starts containers is loaded when one is
    from lamina.engine.wishes import Wanted
    from lamina.execution.run import Running, Stdio


class Container:
    """One container; `reload` looks again."""

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
        """`created`, `running` or `exited`."""
        return self._stored.status

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
        """Its process's ID while it runs, else 0."""
        return (self._stored.row.pid or 0) if self.status == "running" else 0

    @property
    def graph_driver(self) -> tuple[tuple[str, str], ...]:
        """Where its read-write layer lies, as the driver tells it."""
        return self._engine.layers.driver.data(self._stored.row.layer_id)

    @property
    def size(self) -> int:
        """Apparent bytes of what it wrote."""
        return self._engine.layers.usage(self._stored.row.layer_id).size

    def running(self, stdio: "Stdio") -> "AbstractContextManager[Running]":
        """Start it with these descriptors; it is waited for when the block ends.

        Raises `RuntimeFailure`, `CommandNotFound` or `CommandNotExecutable`.
        """
        return self._store.started(self.id, stdio)

    def start(self, stdio: "Stdio") -> int:
        """Run it in the foreground to its end; gives its exit status."""
        with self.running(stdio) as process:
            return process.wait().code

    def diff(self) -> list[Change]:
        """What it changed over its image, in docker's A, C and D."""
        return list(self._store.changes(self._stored))

    def commit(
        self,
        repository: str | None = None,
        tag: str | None = None,
        *,
        message: str = "",
        author: str = "",
        changes: Sequence[str] = (),
        pause: bool = True,
    ) -> Image:
        """Make an image of it as it is now, held still meanwhile unless `pause` is false.

        Durable when this returns.
        """
        from lamina.containers.commit import commit

        name = f"{repository}:{tag}" if repository and tag else repository
        image = commit(
            self._store,
            self._stored,
            names=(tag_reference(name),) if name else (),
            message=message,
            author=author,
            changes=tuple(changes),
            pause=pause,
        )
        return Image(self._engine, self._engine.image_store.row(image))

    def rename(self, name: str) -> None:
        """Give it another name."""
        self._store.rename(self._stored, name)

    def remove(self, *, force: bool = False) -> None:
        """Remove it with what it wrote; raises `InUse` while it runs, unless forced."""
        self._store.remove(self._stored, force=force)

    def discard(self) -> None:
        """Remove it whatever it does, unless it is gone already."""
        try:
            self.reload()
            self.remove(force=True)
        except ContainerNotFound:
            pass

    def export(self, out: Write) -> None:
        """Write its whole tree as one plain tar."""
        from lamina.transfer.save import export_tree

        layer = self._stored.row.layer_id
        with self._engine.layers.using(layer):
            view = self._engine.layers.view(layer)
            try:
                export_tree(view, out)
            finally:
                view.close()

    def get_archive(self, path: str, out: Write) -> None:
        """Write the tar of a path in it; raises `PathNotFound`."""
        from lamina.containers import archive

        with archive.opened_root(self._store, self._stored) as root:
            archive.get(root, path, out)

    def put_archive(self, path: str, stream: ByteStream) -> None:
        """Unroll a tar into the directory `path` in it; raises `PathNotFound`."""
        from lamina.containers import archive

        with archive.opened_root(self._store, self._stored) as root:
            archive.put(root, path, stream)

    def stat(self, path: str) -> os.stat_result:
        """The status of a path in it; raises `PathNotFound`."""
        from lamina.containers import archive

        with archive.opened_root(self._store, self._stored) as root:
            return archive.stat_of(root, path)


class Containers:
    """The containers of a store."""

    def __init__(self, engine: Parts) -> None:
        self._engine = engine

    def get(self, name: str) -> Container:
        """The container of that name or ID; raises `ContainerNotFound`."""
        return Container(self._engine, self._engine.container_store.get(name))

    def run(
        self,
        image: str,
        command: Sequence[str] | None = None,
        *,
        remove: bool = False,
        input: bytes = b"",
        platform: str | None = None,
        **wishes: "Unpack[Wanted]",
    ) -> RunResult:
        """Run a container to its end and give what it wrote; `remove` removes it then.

        An image that is missing is pulled, as docker-py does; `create` wants it here.
        """
        container = self.create(
            image, command, auto_remove=remove, pull="missing", platform=platform, **wishes
        )
        try:
            return captured(container.running, input)
        finally:
            if remove:
                container.discard()

    def prune(self) -> list[Container]:
        """Remove every container that does not run; gives what went."""
        gone = []
        for container in self.list(everything=True):
            try:
                container.remove()
            except (InUse, ContainerNotFound):
                continue  # it runs, is being started, or another command was faster
            gone.append(container)
        return gone

    def create(
        self,
        image: str,
        command: Sequence[str] | None = None,
        *,
        auto_remove: bool = False,
        pull: str = "never",
        platform: str | None = None,
        verify_tls: bool = True,
        events: Sink | None = None,
        **wishes: "Unpack[Wanted]",
    ) -> Container:
        """Make a container; nothing of it runs yet.

        Its image is pulled before when `pull` is `always`, `newer`, or `missing` and it is; then
        `verify_tls` and `events` are for that. With a `platform` (`os/architecture[/variant]`) an
        image that is here for another one is missing; without, one that is not for this machine
        is a warning. Raises `ImageNotFound`, `NameTaken` ...
        """
        from lamina.engine import having
        from lamina.engine.wishing import to_wishes  # a listing makes none

        found = having.have(
            self._engine,
            image,
            pull=pull,
            platform=platform,
            verify_tls=verify_tls,
            events=events or self._engine.events,
        )
        if platform is not None:
            having.refuse_other(self._engine, found, platform)
        else:
            having.warn_of_other(self._engine, found, self._engine.events)
        stored = self._engine.container_store.create(
            found.image, found.name, to_wishes(command, auto_remove, wishes), wishes.get("name")
        )
        return Container(self._engine, stored)

    def list(self, *, everything: bool = False) -> list[Container]:
        """The running containers, or all; newest first."""
        found = [Container(self._engine, stored) for stored in self._engine.container_store.all()]
        return [each for each in found if everything or each.status == "running"]
