"""`lamina.build(stage)`: the shortest way from a stage to an image, on a store opened for it."""

from typing import TYPE_CHECKING

from lamina.build import BuildResult
from lamina.build.stage import Stage
from lamina.engine.buildwishes import request_of
from lamina.engine.open import open_store
from lamina.values.events import ignore

if TYPE_CHECKING:
    from typing import Unpack

    from lamina.archive.compress import ByteStream
    from lamina.engine.buildwishes import BuildWishes


def build(
    stage: Stage,
    context: "str | ByteStream | None" = None,
    *,
    root: str | None = None,
    **wishes: "Unpack[BuildWishes]",
) -> BuildResult:
    """Build a stage with all that it needs, in the store at `root` (default: the usual one).

    `context` is the directory whose files `copy` and `add` read, a repository, the URL of a tar, or
    a tar that can be read; None for none. The image is
    tagged and durable when this returns. For several builds see `build` of an open engine's
    images, which takes the same wishes. Raises `DockerfileError` with the place of a call,
    `UsageError`, `StepFailed` or another `LaminaError`.
    """
    with open_store(root, events=wishes.get("events") or ignore) as engine:
        return engine.images.carry_out(
            request_of(context, stage, wishes),
            pull=wishes.get("pull", "missing"),
            verify_tls=wishes.get("verify_tls", True),
            cache_from=wishes.get("cache_from", ()),
            cache_to=wishes.get("cache_to", ()),
        )
