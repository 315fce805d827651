"""What a step reads besides the tree that it stands on: where `from` leads, what a bind takes of
it, and what of RUN's mounts counts for the cache.

    Run.mounts -> facts (the key)
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from lamina.build.cachekey import Fact
from lamina.build.operation import Copy, Run

if TYPE_CHECKING:
    from lamina.build.chosen import Chosen
    from lamina.build.sources import SourceTree
    from lamina.build.statcache import StatCache
    from lamina.dockerfile.mounts import Mount
    from lamina.values.digest import ChainID

_MAGIC = str.maketrans({char: f"\\{char}" for char in "*?[\\"})


class Origin(NamedTuple):
    """What `from` names: a tree, and the chain it shows or, for a context, what is known of it."""

    tree: "SourceTree"
    chain: "ChainID | None"
    stat_cache: "StatCache"


NO_ORIGINS: Mapping[str, Origin] = {}


class Bound(NamedTuple):
    """One bind mount and what it takes of its origin."""

    mount: "Mount"
    chosen: "Chosen"
    origin: Origin


def whole(mount: "Mount") -> Copy:
    """A bind mount as the COPY that takes the same: its source, no character of it a pattern."""
    source = mount.source.translate(_MAGIC) or "."
    return Copy((source,), mount.target, None, None, (), False, False, "")


def facts_of(run: Run) -> dict[str, Fact]:
    """What of the mounts, the program and the rights is in the key; nothing when there is none.

    Not counted are what caches hold, are called and how they are shared, and secrets' values.
    """
    facts: dict[str, Fact] = {}
    if run.mounts:
        facts["mounts"] = [_spelled(mount) for mount in run.mounts]
    if run.script is not None:
        facts["script"] = run.script.data.decode("utf-8", "surrogateescape")
    if run.insecure:
        facts["security"] = "insecure"
    return facts


def _spelled(mount: "Mount") -> str:
    counted = [mount.kind, mount.target, "ro" if mount.readonly else "rw"]
    if mount.kind in ("secret", "ssh"):
        counted += [mount.id, mount.env, str(mount.required), *map(str, mount[-4:-1])]
    elif mount.kind == "cache":
        counted += [mount.source, mount.from_, *map(str, mount[-4:-1])]
    return "\0".join([*counted, str(mount.size)])
