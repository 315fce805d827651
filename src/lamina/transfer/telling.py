"""Events from several threads, told one at a time."""

import threading

from lamina.values.events import Event, Sink


def one_at_a_time(events: Sink) -> Sink:
    """A sink that several threads may use."""
    lock = threading.Lock()

    def tell(event: Event) -> None:
        with lock:
            events(event)

    return tell
