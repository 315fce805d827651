"""The contexts of one build while it goes on: the main one and the named ones, opened at need.

Several threads may ask: each has trees of its own, and all share what is known of files since
earlier builds, which is saved at the end.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lamina.build.context import Opened, open_folder
from lamina.build.named import Folder
from lamina.build.selection import Changed
from lamina.build.sources import ContextTree, NoTree
from lamina.build.statcache import StatCache


class Contexts:
    """Open contexts; to be closed when no thread asks any more. `main` is its caller's to close."""

    def __init__(self, main: Opened, stat_caches: Callable[[str], StatCache]) -> None:
        self.main = main
        self.main_cache = stat_caches(main.folder)
        if isinstance(main.tree, ContextTree):
            main.tree.contents = self.main_cache.contents
        self._stat_caches = stat_caches
        self._lock = threading.Lock()
        self._owner = threading.get_ident()
        self._trees: dict[tuple[int, str], ContextTree] = {}
        self._known: dict[str, StatCache] = {}

    def main_tree(self) -> ContextTree | NoTree:
        """The main context's tree, for this thread."""
        tree = self.main.tree
        if isinstance(tree, NoTree) or threading.get_ident() == self._owner:
            return tree
        with self._lock:
            return self._tree(self.main.path, tree.again)

    def folder(self, context: Folder) -> tuple[ContextTree, StatCache]:
        """A named context's tree, for this thread; raises `PathNotFound` or `UsageError`."""
        with self._lock:
            tree = self._tree(f"{context.name}\0{context.path}", lambda: _opened(context))
            if context.path not in self._known:
                self._known[context.path] = self._stat_caches(context.path * context.lasts)
            known = self._known[context.path]
            tree.contents = known.contents
            return tree, known

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Believe nothing more of earlier builds where a file turns out to be another."""
        try:
            yield
        except Changed:
            with self._lock:
                known = (self.main_cache, *self._known.values())
            for each in known:
                each.distrust()
            raise

    def _tree(self, key: str, opened: Callable[[], ContextTree]) -> ContextTree:
        mine = threading.get_ident(), key
        if mine not in self._trees:
            self._trees[mine] = opened()
        return self._trees[mine]

    def close(self) -> None:
        """Give up the trees; what was learnt of all files is kept."""
        self.main_cache.save()
        for stat_cache in self._known.values():
            stat_cache.save()
        for tree in self._trees.values():
            tree.close()


def _opened(context: Folder) -> ContextTree:
    tree = open_folder(context.path)
    tree.title = f"the context {context.name}"
    return tree
