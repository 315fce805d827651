"""The part of `engine.images` that builds."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lamina.engine.image import Image
from lamina.engine.inside import Inside
from lamina.engine.parts import Parts
from lamina.errors import ImageNotFound
from lamina.values.events import Sink

if TYPE_CHECKING:  # what builds is loaded by who builds
    from typing import Unpack

    from lamina.archive.compress import ByteStream
    from lamina.build import BuildRequest, BuildResult
    from lamina.build.api import Debug
    from lamina.build.outline import Outline
    from lamina.build.stage import Stage
    from lamina.dockerfile.lint import Checked
    from lamina.dockerfile.targets import Goals
    from lamina.engine.buildwishes import BuildWishes
    from lamina.engine.registries import Logins


class ImageBuilding:
    """Builds images of a store."""

    def __init__(self, store: Parts) -> None:
        self._store = store
        self._images = store.image_store

    def build(
        self,
        context: "str | ByteStream | None" = ".",
        *,
        stage: "Stage | None" = None,
        **wishes: "Unpack[BuildWishes]",
    ) -> Image:
        """Build a Dockerfile, or a `lamina.Stage`; tagged and durable when this returns.

        `context` is a directory, a git repository, the URL of a tar, or a tar itself, as anything
        that has `read`.

        `lamina.engine.buildwishes` tells what may be wished for. Of several platforms the image
        for this machine, else the first, is given; `carry_out` gives all. Raises
        `DockerfileError`, `StepFailed` or another `LaminaError`.
        """
        from lamina.engine.buildwishes import request_of

        result = self.carry_out(
            request_of(context, stage, wishes),
            pull=wishes.get("pull", "missing"),
            verify_tls=wishes.get("verify_tls", True),
            cache_from=wishes.get("cache_from", ()),
            cache_to=wishes.get("cache_to", ()),
            events=wishes.get("events"),
            isolation=wishes.get("isolation", ""),
        )
        return Image(self._store, self._images.row(result.image_id))

    def check(self, request: "BuildRequest") -> "Checked":
        """What BuildKit's build checks say of a Dockerfile; nothing is built or pulled."""
        from lamina.engine.building import Bases, builder

        bases = Bases(self._store, "never", True, self._store.sink)
        return builder(self._store, bases).check(request)

    def targets(self, request: "BuildRequest") -> "Goals":
        """The stages of a Dockerfile that could be built; nothing is built or pulled."""
        from lamina.engine.building import Bases, builder

        bases = Bases(self._store, "never", True, self._store.sink)
        return builder(self._store, bases).targets(request)

    def outline(self, request: "BuildRequest") -> "Outline":
        """The arguments, secrets and agents of a target; nothing is built or pulled."""
        from lamina.engine.building import Bases, builder

        bases = Bases(self._store, "never", True, self._store.sink)
        return builder(self._store, bases).outline(request)

    def carry_out(
        self,
        request: "BuildRequest",
        *,
        pull: str = "missing",
        verify_tls: bool = True,
        cache_from: Sequence[str] = (),
        cache_to: Sequence[str] = (),
        events: Sink | None = None,
        debug: "Debug | None" = None,
        logins: "Logins | None" = None,
        isolation: str = "",
    ) -> "BuildResult":
        """Build what a request says, which may be no image of the store; raises the same.

        Bases are pulled as `logins` say, else as files do. RUN is kept apart by an `isolation`
        ("": the store's).

        `debug` is handed a way to start a shell where a command failed, and comes back when it has
        seen enough. A cache that cannot be written raises when the image is made.
        """
        from lamina.engine.building import Bases, builder

        sink = events or self._store.sink
        bases = Bases(self._store, pull, verify_tls, sink, logins)
        built = builder(self._store, bases, isolation)
        if not cache_from and not cache_to:
            return built.build(request, sink, debug)
        from lamina.engine.caching import Caching

        caching = Caching(self._store, verify_tls, sink)
        return caching.build(built, request, cache_from, cache_to, debug)

    def tags_of(self, result: "BuildResult") -> list[str]:
        """The names that what was built has by now, as docker shows them.

        None where it is no image, or no longer one: others may have removed it just now.
        """
        try:
            return Image(self._store, self._images.row(result.image_id)).tags
        except ImageNotFound:
            return []

    def built(self, result: "BuildResult") -> Inside:
        """The inside of what was just built, also where it is no image of the store."""
        from lamina.engine.building import BuiltInside

        return BuiltInside(self._store, result.config)
