"""Lamina: container images as shared layers, with no daemon.

    import lamina

    with lamina.open() as engine:
        image = engine.images.build(".", tags=["app:1"])
        print(engine.containers.run("app:1", ["python3", "--version"], remove=True).output)

The names below are the public ones; everything else may change.
"""

import sys
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lamina.build.mountwish import Mount
    from lamina.build.stage import Stage
    from lamina.engine import Engine
    from lamina.engine.open import open_store as open
    from lamina.engine.shortcut import build
    from lamina.engine.union import overlay
    from lamina.errors import LaminaError

__version__ = "0.1.0"
__all__ = [
    "Engine",
    "LaminaError",
    "Mount",
    "Stage",
    "__version__",
    "build",
    "open",
    "overlay",
]

_WHERE = {
    "Engine": ("lamina.engine", "Engine"),
    "LaminaError": ("lamina.errors", "LaminaError"),
    "Mount": ("lamina.build.mountwish", "Mount"),
    "Stage": ("lamina.build.stage", "Stage"),
    "build": ("lamina.engine.shortcut", "build"),
    "open": ("lamina.engine.open", "open_store"),
    "overlay": ("lamina.engine.union", "overlay"),
}


def __getattr__(name: str) -> object:
    """Load a public name when it is first asked for: `lamina --version` loads none."""
    if name not in _WHERE:
        raise AttributeError(f"module 'lamina' has no attribute {name!r}")
    from importlib import import_module

    module, attribute = _WHERE[name]
    return getattr(import_module(module), attribute)


class _Library(ModuleType):
    """`lamina.build` is a function, though a package has that name, too.

    The import system binds a package to its parent when it loads it; this one stays unbound. It is
    imported from by its whole name as any other.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if name != "build":
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Library
