"""From the last state of a stage to an image's config document. Pure.

Times: a step's line carries the moment its layer was made, also when that was an earlier build;
an edit of the config carries that of the layer before it (of the first new layer, when it comes
before any). So building again from the cache gives the same document, byte for byte.
"""

from collections.abc import Callable

from lamina.build.state import COMMENT, Line, State
from lamina.spec.imageconfig import ImageConfig, format_time
from lamina.spec.strictjson import Json
from lamina.values.platform import Platform


def finish(state: State, *, epoch: int | None, first_made: Callable[[State], float]) -> ImageConfig:
    """The image of a stage.

    With `epoch` every new time is that one. `first_made` tells when a stage that made no layer
    at all was first built.
    """
    if epoch is not None:
        times = [float(epoch)] * len(state.lines)
        created = float(epoch)
    else:
        times = _times(state, first_made)
        created = times[-1] if times else first_made(state)
    return ImageConfig.of(_document(state, times, created))


def platform_of(config: ImageConfig) -> Platform:
    """What an image is for."""
    return Platform(config.os, config.architecture, config.variant)


def _times(state: State, first_made: Callable[[State], float]) -> list[float]:
    """The time of each new line: never earlier than that of the line before."""
    made = [line.created for line in state.lines if line.created is not None]
    now = made[0] if made else first_made(state)
    times = []
    for line in state.lines:
        now = max(now, line.created if line.created is not None else now)
        times.append(now)
    return times


def _document(state: State, times: list[float], created: float) -> dict[str, Json]:
    before = state.document.get("history")
    history: list[Json] = list(before) if isinstance(before, list) else []
    if not history:
        history = _unknown_past(len(state.diff_ids) - state.own_layers)
    history += [_line(line, time) for line, time in zip(state.lines, times, strict=True)]
    return {
        **state.document,
        "config": dict(state.config),
        "created": format_time(created),
        "history": history,
        "rootfs": {"type": "layers", "diff_ids": list(state.diff_ids)},
    }


def _unknown_past(layers: int) -> list[Json]:
    """Lines for the layers of a base that tells no history: their numbers must agree."""
    return [{"created_by": "", "comment": "of a base image without history"}] * layers


def _line(line: Line, time: float) -> Json:
    entry: dict[str, Json] = {
        "created": format_time(time),
        "created_by": line.created_by,
        "comment": COMMENT,
    }
    if line.empty:
        entry["empty_layer"] = True
    return entry


def timeless(state: State) -> str:
    """What a stage is apart from its times: equal texts mean the same image."""
    document = _document(state, [0.0] * len(state.lines), 0.0)
    return ImageConfig.of(document).id
