"""`lamina.build(stage)`: the shortest way from a stage to an image, on a store opened for it."""

from collections.abc import Mapping, Sequence

from lamina.build import BuildRequest, BuildResult
from lamina.build.stage import Stage
from lamina.build.stages import assembled
from lamina.engine.open import open_store
from lamina.values.events import Sink, ignore


def build(
    stage: Stage,
    context: str | None = None,
    *,
    tags: Sequence[str] = (),
    build_args: Mapping[str, str] | None = None,
    no_cache: bool = False,
    source_date_epoch: int | None = None,
    pull: str = "missing",
    root: str | None = None,
    events: Sink = ignore,
) -> BuildResult:
    """Build a stage with all that it needs, in the store at `root` (default: the usual one).

    `context` is the directory whose files `copy` and `add` read; None for none. The image is
    tagged and durable when this returns. For more options, and for several builds, see `build` of
    an open engine's images. Raises `DockerfileError` with the place of a call, `UsageError`,
    `StepFailed` or another `LaminaError`.
    """
    request = BuildRequest(
        context=context,
        tags=tuple(tags),
        build_args=dict(build_args or {}),
        no_cache=no_cache,
        source_date_epoch=source_date_epoch,
        stages=assembled(stage),
    )
    with open_store(root, events=events) as engine:
        return engine.images.carry_out(request, pull=pull, events=events)
