"""The stream of lifecycle events, narrowed down by docker's filters.

Several values of one key are alternatives; several keys, and several labels, hold together.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

from lamina.containers.following import Following
from lamina.containers.store import ContainerStore
from lamina.errors import UsageError
from lamina.metadata.events import LifecycleEvent
from lamina.values.closing import Closing

Test = Callable[[LifecycleEvent], bool]

# moby, daemon/events/filter.go: these begin longer actions (`exec_create: sh -c true`)
_BEGINNINGS = frozenset(("health_status", "exec_create", "exec_start"))
_ABSENT = ("config", "daemon", "network", "node", "plugin", "secret", "service")


class EventStream(Closing):
    """Iterates over lifecycle events; `close`, also from another thread, ends that."""

    def __init__(
        self,
        store: ContainerStore,
        since: float | None,
        until: float | None,
        filters: Mapping[str, Sequence[str]],
    ) -> None:
        self._tests = tests_of(filters)
        self._following = Following(store, since, until)

    def __iter__(self) -> Iterator[LifecycleEvent]:
        return self

    def __next__(self) -> LifecycleEvent:
        return next(each for each in self._following if all(test(each) for test in self._tests))

    def close(self) -> None:
        """Hear no more."""
        self._following.close()


def tests_of(filters: Mapping[str, Sequence[str]]) -> list[Test]:
    """What an event has to pass, all of it; raises `UsageError` for what is no filter."""
    found = []
    for key, values in filters.items():
        if key not in _FILTERS:
            raise UsageError(f"Invalid filter {key!r}", hint=f"there are {', '.join(_FILTERS)}")
        if values:
            found.append(_FILTERS[key](tuple(values)))
    return found


def _action(values: tuple[str, ...]) -> Test:
    if _BEGINNINGS.intersection(values):
        return lambda event: event.action.startswith(values)
    return lambda event: event.action in values


def _type(values: tuple[str, ...]) -> Test:
    return lambda event: event.type in values


def _scope(values: tuple[str, ...]) -> Test:
    return lambda _event: "local" in values


def _named(kind: str) -> Callable[[tuple[str, ...]], Test]:
    """By the beginning of an ID or a name."""

    def make(values: tuple[str, ...]) -> Test:
        return lambda event: (
            event.type == kind
            and (
                event.actor.startswith(values)
                or event.attributes.get("name", "").startswith(values)
            )
        )

    return make


def _image(values: tuple[str, ...]) -> Test:
    """An image itself, and the containers that were made of it."""

    def test(event: LifecycleEvent) -> bool:
        name = event.attributes.get("name" if event.type == "image" else "image", "")
        said = (event.actor, name, _without_tag(event.actor), _without_tag(name))
        return any(each in values for each in said)

    return test


def _without_tag(text: str) -> str:
    name, colon, tag = text.rpartition(":")
    return name if colon and "/" not in tag else text


def _label(values: tuple[str, ...]) -> Test:
    pairs = [value.partition("=") for value in values]

    def test(event: LifecycleEvent) -> bool:
        return all(
            key in event.attributes and (not equals or event.attributes[key] == value)
            for key, equals, value in pairs
        )

    return test


def _none(_values: tuple[str, ...]) -> Test:
    """docker has such things; here there are none of them."""
    return lambda _event: False


_FILTERS: dict[str, Callable[[tuple[str, ...]], Test]] = {
    "container": _named("container"),
    "event": _action,
    "image": _image,
    "label": _label,
    "scope": _scope,
    "type": _type,
    "volume": _named("volume"),
    **dict.fromkeys(_ABSENT, _none),
}
