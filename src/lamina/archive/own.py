"""Which names of a tree one layer brought, so that its opaque marker spares them.

Knows paths; looks at nothing.
"""


class Own:
    """The names that one layer brought; by hash in a flat tree, where what is gone stays gone.

    In an upper directory everything is the layer's own but what was lent to it: a file copied up
    only to be linked to, with the folders made on its way. It goes again where it is to be hidden.
    """

    def __init__(self, *, everything: bool) -> None:
        self._everything = everything
        self._known: set[int] = set()
        self._lent: set[bytes] = set()
        self._below: dict[bytes, set[bytes]] = {}  # folder to what leads to something lent

    def add(self, path: bytes) -> None:
        """A member of this layer is at `path`, so its folders are this layer's, too."""
        while path and self._lent:
            self._lent.discard(path)
            path = path.rpartition(b"/")[0]
        if self._everything:
            return
        while path and (key := hash(path)) not in self._known:
            self._known.add(key)
            path = path.rpartition(b"/")[0]

    def lend(self, path: bytes) -> None:
        """What is made at `path` now is not the layer's own, as long as no member says so."""
        self._lent.add(path)
        while path:
            folder = path.rpartition(b"/")[0]
            known = self._below.setdefault(folder, set())
            if path in known:
                return
            known.add(path)
            path = folder

    def take_back(self, folder: bytes) -> list[bytes]:
        """What was lent below `folder`, innermost first; forgotten with this."""
        found: list[bytes] = []
        waiting = [folder]
        while waiting:
            inside = self._below.pop(waiting.pop(), set())
            found += inside & self._lent
            waiting += inside
        self._lent.difference_update(found)
        return sorted(found, reverse=True)

    def __contains__(self, path: bytes) -> bool:
        return self._everything or hash(path) in self._known
