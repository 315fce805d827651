"""The contexts of one build while it goes on: the main one and the named ones, opened at need.

Knows which files are known since earlier builds, and saves that at the end.
"""

from collections.abc import Callable

from lamina.build.context import Opened, open_folder
from lamina.build.named import Folder
from lamina.build.sources import ContextTree
from lamina.build.statcache import StatCache


class Contexts:
    """Open contexts; to be closed. `main` is its caller's to close."""

    def __init__(self, main: Opened, stat_caches: Callable[[str], StatCache]) -> None:
        self.main = main
        self.main_cache = stat_caches(main.path)
        self._stat_caches = stat_caches
        self._folders: dict[str, tuple[ContextTree, StatCache]] = {}

    def folder(self, context: Folder) -> tuple[ContextTree, StatCache]:
        """A named context's tree; raises `PathNotFound` or `UsageError`."""
        if context.path not in self._folders:
            tree = open_folder(context.path)
            tree.title = f"the context {context.name}"
            self._folders[context.path] = tree, self._stat_caches(context.path)
        return self._folders[context.path]

    def close(self) -> None:
        """Give up the named contexts; what was learnt of all files is kept."""
        self.main_cache.save()
        for tree, stat_cache in self._folders.values():
            stat_cache.save()
            tree.close()
