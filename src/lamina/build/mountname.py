"""Which cache mount a command means. Pure."""

from typing import TYPE_CHECKING, NamedTuple

from lamina.build.cachekey import Fact, Inputs
from lamina.values.digest import ChainID

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lamina.build.origins import Origin
    from lamina.dockerfile.mounts import Mount

_MODE = 0o755


class MountName(NamedTuple):
    """The ID in a Dockerfile, and what makes of equal IDs different caches.

    That is what it begins with (`parent`; None: nothing), and mode and owner of its directory.
    """

    id: str
    parent: ChainID | None = None
    mode: int = _MODE
    uid: int = 0
    gid: int = 0

    @property
    def facts(self) -> dict[str, Fact]:
        """What its key is made from."""
        return {
            "op": "cache mount",
            "id": self.id,
            "parent": self.parent or "scratch",
            "mode": self.mode,
            "owner": f"{self.uid}:{self.gid}",
        }

    @property
    def key(self) -> str:
        """The same in every store."""
        return Inputs(self.facts).key


def named_by(facts: "Mapping[str, Fact]") -> MountName:
    """The name that facts tell, as a record has them; of an earlier version's, the ID alone."""
    parent = facts.get("parent", "scratch")
    uid, _, gid = str(facts.get("owner", "0:0")).partition(":")
    return MountName(
        str(facts["id"]),
        None if parent == "scratch" else ChainID(str(parent)),
        int(str(facts.get("mode", _MODE))),
        int(uid),
        int(gid),
    )


def name_of(mount: "Mount", origins: "Mapping[str, Origin]") -> MountName:
    """What a mount of a RUN means; `origins` are what its `from` names."""
    return MountName(
        mount.id or mount.target,
        origins[mount.from_].chain if mount.from_ else None,
        _MODE if mount.mode is None else mount.mode,
        mount.uid or 0,
        mount.gid or 0,
    )
