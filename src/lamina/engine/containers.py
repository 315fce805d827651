"""Containers, shaped as docker-py's: create, run, get, list, prune."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Unpack, overload

from lamina.engine.container import Container
from lamina.engine.parts import Parts
from lamina.errors import ContainerNotFound, InUse
from lamina.runtime.process import Volume
from lamina.values.events import Sink

if TYPE_CHECKING:  # what makes and starts containers is loaded when one is
    from lamina.engine.capturing import RunResult
    from lamina.engine.wishes import Wanted
    from lamina.values.narrowing import Narrowing


class Containers:
    """The containers of a store."""

    def __init__(self, engine: Parts) -> None:
        self._engine = engine

    def get(self, name: str) -> Container:
        """The container of that name or ID; raises `ContainerNotFound`."""
        return Container(self._engine, self._engine.container_store.get(name))

    @overload
    def run(
        self,
        image: str,
        command: Sequence[str] | None = None,
        *,
        detach: Literal[False] = False,
        remove: bool = False,
        input: bytes = b"",
        platform: str | None = None,
        **wishes: "Unpack[Wanted]",
    ) -> "RunResult": ...

    @overload
    def run(
        self,
        image: str,
        command: Sequence[str] | None = None,
        *,
        detach: Literal[True],
        remove: bool = False,
        platform: str | None = None,
        **wishes: "Unpack[Wanted]",
    ) -> Container: ...

    def run(
        self,
        image: str,
        command: Sequence[str] | None = None,
        *,
        detach: bool = False,
        remove: bool = False,
        input: bytes = b"",
        platform: str | None = None,
        **wishes: "Unpack[Wanted]",
    ) -> "RunResult | Container":
        """Run a container to its end and give what it wrote; `remove` removes it then.

        With `detach` it is started, and given: it lives on, also without us.
        An image that is missing is pulled, as docker-py does; `create` wants it here.
        """
        container = self.create(
            image, command, auto_remove=remove, pull="missing", platform=platform, **wishes
        )
        if detach:
            return self._detached(container, remove=remove)
        from lamina.engine.capturing import captured

        try:
            return captured(container.running, input)
        finally:
            if remove:
                container.discard()

    @staticmethod
    def _detached(container: Container, *, remove: bool) -> Container:
        try:
            container.start()
        except BaseException:
            if remove:
                container.discard()
            raise
        return container

    def prune(self, only: "Narrowing | None" = None) -> list[Container]:
        """Remove every container that does not run, or `only` some of them; gives what went."""
        gone = []
        for container in self.list(everything=True):
            if only is not None and not only.admits(
                container.created_at, dict(container.settings.labels)
            ):
                continue
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
        outlives: bool = False,
        **wishes: "Unpack[Wanted]",
    ) -> Container:
        """Make a container; nothing of it runs yet.

        With `auto_remove` it goes at its end, and with this engine if it was not started by then;
        one that `outlives` the engine stays.

        Its image is pulled before when `pull` is `always`, `newer`, or `missing` and it is; then
        `verify_tls` and `events` are for that. With a `platform` (`os/architecture[/variant]`) an
        image that is here for another one is missing; without, one that is not for this machine
        is a warning. Raises `ImageNotFound`, `NameTaken` ...
        """
        from lamina.containers import making
        from lamina.engine import having
        from lamina.engine.wishing import to_wishes  # a listing makes none

        found = having.have(
            self._engine,
            image,
            pull=pull,
            platform=platform,
            verify_tls=verify_tls,
            events=events or self._engine.sink,
        )
        if platform is not None:
            having.refuse_other(self._engine, found, platform)
        else:
            having.warn_of_other(self._engine, found, self._engine.sink)
        stored = making.create(
            self._engine.container_store,
            found.image,
            found.name,
            to_wishes(command, auto_remove, self._filtered(wishes), self._taken(wishes)),
            wishes.get("name"),
            outlives=outlives,
        )
        return Container(self._engine, stored)

    def _filtered(self, wishes: "Wanted") -> "Wanted":
        """The same, with the seccomp profile of the configuration where none is asked for."""
        profile = self._engine.config.seccomp_profile
        said = wishes.get("security_opt", ())
        if not profile or wishes.get("privileged") or any("seccomp" in each for each in said):
            return wishes
        return {**wishes, "security_opt": (f"seccomp={profile}", *said)}

    def _taken(self, wishes: "Wanted") -> "tuple[Volume, ...]":
        """The volumes of the containers that `volumes_from` names; of two, the later one's."""
        from lamina.runtime.mountspelling import taken_from

        found: dict[str, Volume] = {}
        for text in wishes.get("volumes_from", ()):
            name, readonly = taken_from(text)
            for each in self.get(name).settings.volumes:
                found[each.target] = each._replace(readonly=each.readonly or readonly)
        return tuple(found.values())

    def list(self, *, everything: bool = False) -> list[Container]:
        """The running containers, or all; newest first."""
        found = [Container(self._engine, stored) for stored in self._engine.container_store.all()]
        return [each for each in found if everything or each.is_up]
