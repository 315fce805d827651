"""The driver of a store: how it is made, and what is remembered of having tried it.

A driver that worked on this boot, with these rights, is not tried again. Chooses none.
"""

import json
from collections.abc import Sequence

from lamina.drivers.api import Driver, Features
from lamina.drivers.catalog import entry
from lamina.kernel.namespaces import effective_capabilities, user_namespace
from lamina.metadata.root import StoreRoot


def make(
    store: StoreRoot,
    run_root: str,
    name: str,
    options: Sequence[str],
    features: Features = (),
) -> Driver:
    """The driver of that name on its home in the store."""
    catalogued = entry(name)
    return catalogued.make(store.folder(catalogued.home), run_root, options, features)


def proof(store: StoreRoot) -> str:
    """Where, and with which rights, what was found to work works."""
    return f"{store.boot_id} {effective_capabilities():x} {user_namespace()}"


def told(driver: str, features: Features) -> str:
    """What is kept of the features that were found when a driver was tried."""
    return json.dumps([driver, *features])


def recorded(text: str, driver: str) -> Features:
    """The features that were found when the driver was tried last; none of another driver's."""
    name, *found = json.loads(text) if text else ("",)
    return tuple((key, value) for key, value in found) if name == driver else ()
