"""Whom copied files are to belong to: what `--chown` means where a stage's passwd and group decide.

A chain's answer never changes, so it is looked up once and remembered; of an imported cache it is
taken like a content.
"""

import json
import re
from collections.abc import Callable
from contextlib import closing
from typing import NamedTuple

from lamina.build.api import Cache
from lamina.build.cachekey import Inputs
from lamina.build.record import Record
from lamina.fs.tree import TreeView
from lamina.runtime.users import resolve_ids
from lamina.values.digest import ChainID

_NUMBERS = re.compile(r"(\d{1,9}):(\d{1,9})", re.ASCII)


class Owner(NamedTuple):
    """User and group, perhaps only as an imported cache has `told`."""

    ids: tuple[int, int]
    told: bool = False

    @property
    def text(self) -> str:
        """As a cache key has it."""
        return f"{self.ids[0]}:{self.ids[1]}"


class OwnerLookup(NamedTuple):
    """Looks owners up in the trees of chains, or in what is remembered of them."""

    cache: Cache
    now: Callable[[], float]
    view: Callable[[ChainID | None], TreeView]

    def __call__(self, parent: ChainID | None, text: str, *, believing: bool) -> Owner:
        """What a `--chown` means; raises what `resolve_ids` raises for an unknown name.

        What an imported cache tells is only taken when `believing`.
        """
        numbers = _NUMBERS.fullmatch(text)
        if numbers is not None:
            return Owner((int(numbers[1]), int(numbers[2])))
        key = Inputs({"op": "owner", "parent": parent or "scratch", "owner": text}).key
        known = self.cache.find(key)
        if known is not None and (believing or not known.source):
            uid, _, gid = json.loads(known.inputs)["owner"].partition(":")
            return Owner((int(uid), int(gid)), told=bool(known.source))
        with closing(self.view(parent)) as view:
            found = Owner(resolve_ids(view, text))
        self.cache.record(key, Record(None, json.dumps({"owner": found.text}), self.now()))
        return found
