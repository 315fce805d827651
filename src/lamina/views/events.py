"""Lifecycle events as `docker events` and the Docker API show them."""

import time

from lamina.metadata.events import LifecycleEvent

Document = dict[str, object]
_SECOND = 1_000_000_000
# the fields of docker's struct that its JSON calls otherwise
_GO_NAMES = {
    "Time": "time",
    "TimeNano": "timeNano",
    "Scope": "scope",
    "Status": "status",
    "ID": "id",
    "From": "from",
}


class EventDocument(dict[str, object]):
    """docker's JSON of an event; a template may call its fields by their names in Go, too."""

    def __contains__(self, key: object) -> bool:
        return key in _GO_NAMES or super().__contains__(key)

    def __getitem__(self, key: str) -> object:
        return self.get(_GO_NAMES[key], "") if key in _GO_NAMES else super().__getitem__(key)


def event_document(event: LifecycleEvent) -> EventDocument:
    """An event as docker's API gives it; `status`, `id` and `from` are those of its first days."""
    old: Document = {}
    if event.type != "volume":
        old = {"status": event.action, "id": event.actor}
    if event.type == "container":
        old["from"] = event.attributes.get("image", "")
    return EventDocument(
        **old,
        Type=event.type,
        Action=event.action,
        Actor={"ID": event.actor, "Attributes": dict(event.attributes)},
        scope="local",
        time=event.time // _SECOND,
        timeNano=event.time,
    )


def event_line(event: LifecycleEvent) -> str:
    """An event as `docker events` shows it: the time here, what it is, and its attributes."""
    about = ", ".join(f"{key}={event.attributes[key]}" for key in sorted(event.attributes))
    return f"{_here(event.time)} {event.type} {event.action} {event.actor} ({about})"


def _here(nanoseconds: int) -> str:
    """RFC 3339 with nine digits, in this machine's time zone."""
    seconds, rest = divmod(nanoseconds, _SECOND)
    there = time.localtime(seconds)
    offset = there.tm_gmtoff // 60
    sign, minutes = ("-", -offset) if offset < 0 else ("+", offset)
    zone = f"{sign}{minutes // 60:02d}:{minutes % 60:02d}" if offset else "Z"
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', there)}.{rest:09d}{zone}"
