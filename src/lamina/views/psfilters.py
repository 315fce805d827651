"""`lamina ps --filter`: which containers are meant, by docker's rules.

Several values of one key are alternatives, several keys (and several labels) hold together. Names,
IDs and networks are regular expressions, as docker's are, so `name=^/?web$` is one container.
"""

import re
from collections.abc import Callable, Sequence

from lamina.engine.container import Container
from lamina.engine.engine import Engine
from lamina.errors import ImageNotFound, UsageError
from lamina.values.linearpattern import LinearPattern, NotLinear

Test = Callable[[Container], bool]

_HEALTH = ("starting", "healthy", "unhealthy", "none")
_STATES = ("created", "restarting", "running", "removing", "paused", "exited", "dead")


def tests_of(engine: Engine, texts: Sequence[str]) -> list[Test]:
    """What a container has to pass, all of it.

    Raises `UsageError` for what is no filter, and `ContainerNotFound` for a `before` or `since`.
    """
    values: dict[str, list[str]] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if key not in _FILTERS:
            raise UsageError(f"Invalid filter {key!r}", hint=f"there are {', '.join(_FILTERS)}")
        if not equals:
            raise UsageError(f"the filter {key!r} has no value", hint=f"write {key}=VALUE")
        values.setdefault(key, []).append(value)
    found = []
    for key, wanted in values.items():
        tests = [_FILTERS[key](engine, value) for value in wanted]
        found += tests if key == "label" else [_any_of(tests)]
    return found


def _any_of(tests: list[Test]) -> Test:
    return lambda container: any(test(container) for test in tests)


def _by_text(tell: Callable[[Container], Sequence[str]]) -> Callable[[Engine, str], Test]:
    def make(_engine: Engine, wanted: str) -> Test:
        try:
            pattern = LinearPattern(wanted)
        except NotLinear as error:
            words = f"the filter's {wanted[:60]!r} is no regular expression: {error}"
            raise UsageError(
                words, hint="put a \\ before a character that is meant itself"
            ) from None
        return lambda container: any(pattern.search(text) for text in tell(container))

    return make


def _ancestor(engine: Engine, wanted: str) -> Test:
    """That image, or one whose layers begin with all of its layers; of none when it is not here."""
    try:
        image = engine.images.get(wanted)
    except ImageNotFound:
        return lambda _container: False
    layers = [layer.diff_id for layer in image.layers]

    def test(container: Container) -> bool:
        if container.image == image.id:
            return True
        try:
            own = [layer.diff_id for layer in engine.images.get(container.image).layers]
        except ImageNotFound:
            return False
        return bool(layers) and own[: len(layers)] == layers

    return test


def _before(engine: Engine, wanted: str) -> Test:
    limit = engine.containers.get(wanted).created_at
    return lambda container: container.created_at < limit


def _restart_policy(_engine: Engine, wanted: str) -> Test:
    """podman's, for whoever starts them after the machine."""
    return lambda container: container.settings.lasting.restart == wanted


def _since(engine: Engine, wanted: str) -> Test:
    limit = engine.containers.get(wanted).created_at
    return lambda container: container.created_at > limit


def _exited(_engine: Engine, wanted: str) -> Test:
    if not re.fullmatch("[0-9]{1,9}", wanted):
        raise UsageError(f"the filter's {wanted!r} is no exit status", hint="write exited=1")
    code = int(wanted)
    return lambda container: container.status == "exited" and container.exit_code == code


def _health(_engine: Engine, wanted: str) -> Test:
    if wanted not in _HEALTH:
        hint = f"there are {', '.join(_HEALTH)}"
        raise UsageError(f"there is no health {wanted!r} to filter by", hint=hint)

    def test(container: Container) -> bool:
        health = container.health
        return wanted == ("none" if health is None else health.status)

    return test


def _label(_engine: Engine, wanted: str) -> Test:
    key, equals, value = wanted.partition("=")

    def test(container: Container) -> bool:
        labels = dict(container.settings.labels)
        return key in labels and (not equals or labels[key] == value)

    return test


def _status(_engine: Engine, wanted: str) -> Test:
    if wanted not in _STATES:
        hint = f"there are {', '.join(_STATES)}"
        raise UsageError(f"there is no status {wanted!r} to filter by", hint=hint)
    return lambda container: container.status == wanted


def _volume(_engine: Engine, wanted: str) -> Test:
    def test(container: Container) -> bool:
        return any(
            wanted in (each.name, each.source, each.target) for each in container.settings.volumes
        )

    return test


_FILTERS: dict[str, Callable[[Engine, str], Test]] = {
    "ancestor": _ancestor,
    "before": _before,
    "exited": _exited,
    "health": _health,
    "id": _by_text(lambda container: (container.id,)),
    "label": _label,
    "name": _by_text(lambda container: (container.name, f"/{container.name}")),
    "network": _by_text(lambda container: (container.settings.network,)),
    "restart-policy": _restart_policy,
    "since": _since,
    "status": _status,
    "volume": _volume,
}
