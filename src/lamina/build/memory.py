"""What a step gave, remembered or made once: by the key of what it is made from.

    inputs -> key -> record            (the layer is here: nothing is done)
    inputs -> key -> lock -> layer -> record

Knows the cache and the store of layers; knows nothing of what a step does.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from lamina.build.api import Cache, Layers
from lamina.build.cachekey import Inputs, copied_before, explain
from lamina.build.past import Ancestor, Past, found
from lamina.build.record import Record
from lamina.build.stop import Stop
from lamina.fs.faults import crash_point
from lamina.layers.layer import Layer
from lamina.values.digest import ChainID, DiffID


class Place(NamedTuple):
    """Where a step stands: `name` is the same in later builds of the Dockerfile.

    What is made `anew` is not looked up, except for what this build made. `past` is what its
    image's history will say.
    """

    name: str
    anew: bool
    past: Past


class Outcome(NamedTuple):
    """What a step came to: the layer it added (None: it changed nothing), and since when.

    `reason` says why it was not done again, or why it was.
    """

    diff_id: DiffID | None
    created: float
    size: int
    cached: bool
    reason: str


class Memory:
    """The steps of one build, and those of builds before it; for any thread.

    `made` are the keys of what the build itself made, for whatever platform.
    """

    def __init__(
        self,
        layers: Layers,
        cache: Cache,
        stop: Stop,
        now: Callable[[], float],
        ancestors: Sequence[Ancestor],
        made: set[str],
    ) -> None:
        self._layers = layers
        self._ancestors = ancestors
        self._cache = cache
        self._stop = stop
        self._now = now
        self._made = made

    def perform(
        self,
        parent: ChainID | None,
        look: Callable[[bool], Inputs],
        place: Place,
        make: Callable[[ChainID | None], Layer | None],
        proves: Callable[[Record], bool],
    ) -> Outcome:
        """The outcome of `make` over `parent`, remembered from another time if possible.

        It is told the chain that the step, a COPY, gave when it was made here last.
        `look` gives what it is made from, believing imported caches or not. `place` names the step
        in its Dockerfile, to find what it was made from last time. What an image's history says is
        taken where `proves` agrees.
        """
        inputs = look(True)
        key = inputs.key
        known = self._known(key, inputs, parent, anew=place.anew)
        if known is not None:
            return known
        if inputs.told:
            return self.perform(parent, lambda _: look(False), place, make, proves)
        known = self._in_the_past(parent, place, proves)
        if known is not None:
            return known
        with self._cache.single_flight(key, self._stop):
            known = self._known(key, inputs, parent, anew=place.anew)
            if known is not None:
                return known._replace(reason="it was made just now, elsewhere")
            noted = None if place.anew else self._cache.recall(_last(place.name))
            reason = self._why(place, inputs, noted)
            layer = make(copied_before(noted.inputs) if noted is not None else None)
            crash_point("step-made")
            created = self._now()
            chain = layer.chain_id if layer is not None else parent
            self._cache.record(key, Record(chain, inputs.to_json(), created))
            gave = layer.chain_id if layer is not None else None
            self._cache.note(_last(place.name), Record(None, inputs.to_json(gave), created))
            self._made.add(key)
            crash_point("step-recorded")
        if layer is None:
            return Outcome(None, created, 0, False, reason)
        return Outcome(layer.diff_id, created, layer.size, False, reason)

    def _known(
        self, key: str, inputs: Inputs, parent: ChainID | None, *, anew: bool
    ) -> Outcome | None:
        is_asked = not anew or key in self._made
        record = self._cache.find(key) if is_asked else None
        outcome = self._outcome(record, parent) if record is not None else None
        if record is None or outcome is None or not record.source:
            return outcome
        if not inputs.told:
            self._cache.record(key, record._replace(inputs=inputs.to_json()))
        return outcome._replace(reason=f"{outcome.reason}, says the cache {record.source}")

    def _in_the_past(
        self, parent: ChainID | None, place: Place, proves: Callable[[Record], bool]
    ) -> Outcome | None:
        """What an image that stands for a cache did; this is not remembered as the step's own."""
        if place.anew:
            return None
        for record in found(self._ancestors, place.past, parent):
            outcome = self._outcome(record, parent)
            if outcome is not None and proves(record):
                return outcome._replace(reason=f"the image {record.source} has this step")
        return None

    def _outcome(self, record: Record, parent: ChainID | None) -> Outcome | None:
        """What a record comes to over `parent`; None where that cannot be."""
        if record.chain_id == parent:
            return Outcome(None, record.created, 0, True, "the same step changed nothing before")
        layer = self._layers.held(record.chain_id) if record.chain_id is not None else None
        if layer is None or ChainID.extend(parent, layer.diff_id) != record.chain_id:
            return None
        return Outcome(layer.diff_id, record.created, layer.size, True, "nothing it reads changed")

    def _why(self, place: Place, inputs: Inputs, noted: Record | None) -> str:
        if place.anew:
            return "the cache was not asked"
        return explain(noted.inputs if noted is not None else None, inputs)


def _last(place: str) -> str:
    """The key under which a step's place remembers what it was last made from."""
    return Inputs({"op": "last", "place": place}).key
