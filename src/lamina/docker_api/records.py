"""Progress as docker's clients read it: JSON objects, one a line, that end with CR LF.

What an event of the library comes to is said here; `progress` is the bar that old clients print
as it is.
"""

import threading

from lamina.docker_api.failures import sentence
from lamina.docker_api.replies import Write, to_json
from lamina.errors import LaminaError
from lamina.values.events import Caution, Event, LayerProgress
from lamina.values.size import human

Record = dict[str, object]

_WIDTH = 50  # columns of a bar
_PULLED = {
    "waiting": "Pulling fs layer",
    "downloading": "Downloading",
    "download complete": "Download complete",
    "extracting": "Extracting",
    "complete": "Pull complete",
    "already exists": "Already exists",
}
_LOADED = {"extracting": "Loading layer", "already exists": "Layer already exists"}
_PUSHED = {
    "waiting": "Preparing",
    "compressing": "Preparing",
    "compressed": "Waiting",
    "pushing": "Pushing",
    "pushed": "Pushed",
    "already exists": "Layer already exists",
}
_MOUNTED = "mounted from "  # in front of the repository that had it
_MOVING = frozenset(("downloading", "pushing"))


def line(record: Record) -> bytes:
    """One record, as it is sent."""
    return to_json(record)[:-1] + b"\r\n"


def failed(error: Exception) -> bytes:
    """The record that tells of an error after others were sent."""
    words = sentence(error)
    detail: Record = {"message": words}
    if isinstance(error, LaminaError) and error.exit_code != 1:
        detail = {"code": error.exit_code, "message": words}
    return line({"errorDetail": detail, "error": words})


def status(text: str, name: str = "") -> bytes:
    """A line of plain words, under a layer's or a tag's name or none."""
    return line({"status": text, "id": name} if name else {"status": text})


class Layers:
    """The sink of a transfer: of each layer what it is at."""

    def __init__(self, write: Write, states: dict[str, str]) -> None:
        self._write = write
        self._states = states
        self._turn = threading.Lock()

    def __call__(self, event: Event) -> None:
        """Tell it; what docker has no word for is not told."""
        if isinstance(event, Caution):
            self._put(status(f"WARNING: {event.text}"))
        elif isinstance(event, LayerProgress):
            words = self._states.get(event.state)
            if event.state.startswith(_MOUNTED):
                words = event.state.capitalize()
            if words is not None:
                self._put(line(_of_layer(event, words)))

    def _put(self, data: bytes) -> None:
        with self._turn:  # several threads tell
            self._write(data)


def pulling(write: Write) -> Layers:
    """For what comes from a registry."""
    return Layers(write, _PULLED)


def pushing(write: Write) -> Layers:
    """For what goes to one."""
    return Layers(write, _PUSHED)


def loading(write: Write) -> Layers:
    """For what comes in an archive."""
    return Layers(write, _LOADED)


def _of_layer(event: LayerProgress, words: str) -> Record:
    record: Record = {"status": words, "progressDetail": {}, "id": event.layer}
    if event.state in _MOVING and event.total:
        record["progressDetail"] = {"current": event.current, "total": event.total}
        record["progress"] = bar(event.current, event.total)
    return record


def bar(current: int, total: int) -> str:
    """`[=====>     ]  1MB/2MB`, docker's own."""
    done = min(current * _WIDTH // total, _WIDTH)
    drawn = "=" * done + ">" * (done < _WIDTH)
    return f"[{drawn:<{_WIDTH}}]  {human(current)}/{human(total)}"
