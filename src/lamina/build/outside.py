"""What stands for names beyond a Dockerfile's own stages: named contexts, had when they are meant.

Knows what a context comes to in a plan (a directory, or an image); how a layout is taken in and how
what lies elsewhere is brought here is handed in.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias

from lamina.build import named
from lamina.build.named import Address, Folder, Layout, Named, Repository, StoredImage
from lamina.errors import UsageError

Layouts: TypeAlias = Callable[[Layout], str]
"""Takes an image of a layout into the store and gives its ID."""
Bring: TypeAlias = Callable[[Repository | Address], Folder]
"""Brings a context that is elsewhere to this machine, for as long as the build goes on."""


def no_layouts(layout: Layout) -> str:
    """Where no layout can be taken in; raises `UsageError`."""
    raise UsageError(f"the layout {layout.path} cannot be read here")


def bring_nothing(context: Repository | Address) -> Folder:
    """Where nothing can be brought; raises `UsageError`."""
    raise UsageError(f"the context {context.name} cannot be brought here")


class Outside(NamedTuple):
    """The named contexts of a build, and what makes use of them."""

    contexts: Mapping[str, Named] = {}
    layouts: Layouts = no_layouts
    bring: Bring = bring_nothing

    def given(self, name: str) -> Folder | str | None:
        """What the context of that name is: a directory, or the image that it comes to."""
        found = named.find(self.contexts, name)
        if isinstance(found, StoredImage):
            return found.reference
        if isinstance(found, Layout):
            return self.layouts(found)
        return self.bring(found) if isinstance(found, Repository | Address) else found


NOTHING = Outside()
