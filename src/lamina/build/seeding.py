"""Cache mounts that imported caches hold: what one that is not here yet begins with.

Nothing is brought before a command that is carried out asks for it. One that does not come, or is
not what was promised, is told of, and the command begins with an empty one: a cache is no more than
that.
"""

import threading
from collections.abc import Callable, Mapping
from functools import partial

from lamina.build.api import CacheWish, Seed, UsedMount
from lamina.build.imported import Imports
from lamina.build.mountname import MountName
from lamina.build.record import Packed
from lamina.build.stop import Stop, Stopped
from lamina.build.telling import Telling
from lamina.errors import LaminaError
from lamina.values.events import Notice


class Seeding:
    """Fills cache mounts from imported caches; for any thread.

    `by_caller` has something done by the thread that hears a Ctrl-C.
    """

    def __init__(
        self,
        imports: Imports,
        by_caller: Callable[[Callable[[], None]], None],
        telling: Telling,
        stop: Stop,
    ) -> None:
        self._imports = imports
        self._by_caller = by_caller
        self._telling = telling
        self._stop = stop

    def __call__(self, name: MountName) -> Seed | None:
        """What fills the mount; None where no cache has it."""
        self._imports.read(self._by_caller)
        found = self._imports.mount(name.key)
        if found is None:
            return None
        return lambda root: self._waited_for(partial(self._fill, root, *found))

    def _waited_for(self, act: Callable[[], None]) -> None:
        """Have something done by the caller's thread, and not go on while that is at it.

        Who waits is sent away when another stage fails; what is written to would then be gone.
        """
        turn, gone = threading.Lock(), threading.Event()

        def in_turn() -> None:
            with turn:
                if not gone.is_set():
                    act()

        try:
            self._by_caller(in_turn)
        finally:
            with turn:
                gone.set()

    def _fill(self, root: int, title: str, packed: Packed) -> None:
        from lamina.build.mountfilling import fill

        filling, blob = packed
        self._telling(Notice(f"restoring the cache mount {filling.name.id} from {title}"))
        try:
            fill(root, filling, blob, self._stop)
        except Stopped:
            raise
        except LaminaError as error:
            self._telling.warn(f"the cache mount {filling.name.id} begins empty: {error.brief}")
            raise

    def used(self, asked: Mapping[str, CacheWish]) -> Mapping[str, UsedMount]:
        """The cache mounts that a build asked for; the caches are asked by who wants to know."""
        return {key: UsedMount(wish, partial(self._known, key)) for key, wish in asked.items()}

    def _known(self, key: str) -> Packed | None:
        self._imports.read(self._by_caller)
        found = self._imports.mount(key)
        return found[1] if found is not None else None
