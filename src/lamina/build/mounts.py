"""RUN's mounts: each of them made for the command's time.

    Run.mounts -> layers, files, sockets -> Ready -> (the command is over) -> gone

A bind shows a layer: that of a stage or an image itself, or what is bound of the context, taken
into the store as COPY would. What is written to one goes with the command. Secrets are read here
and go on in memory alone.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import count
from typing import NamedTuple

from lamina.build.api import CacheWish, LayerMount, Layers, Mounted, MountStore, Seeds
from lamina.build.chosen import Chosen
from lamina.build.mountname import name_of
from lamina.build.operation import Run
from lamina.build.origins import Bound, Origin
from lamina.build.secrets import Secret
from lamina.build.stop import Stop
from lamina.dockerfile.mounts import AGENT, Mount
from lamina.errors import BuildError, UsageError
from lamina.execution.extras import File, Scratch
from lamina.runtime.process import Volume
from lamina.values.digest import ChainID
from lamina.values.ids import LayerID

_SECRET_MODE, _AGENT_MODE, _SCRIPT_MODE = 0o400, 0o600, 0o755


class Ready(NamedTuple):
    """What a command is given: mounts, variables; `confidential` when a secret is among these."""

    mounts: tuple[Mounted, ...]
    env: tuple[str, ...]
    confidential: bool


class Mounting:
    """Makes mounts for one build; `say` is told what is waited for.

    `seeds` know what cache mounts that are not here yet begin with.
    """

    def __init__(
        self,
        layers: Layers,
        store: Callable[[], MountStore],
        secrets: Mapping[str, Secret],
        agents_by_id: Mapping[str, str],
        say: Callable[[str], None],
        stop: Stop,
        seeds: Seeds,
    ) -> None:
        self._layers = layers
        self._store = store
        self._secrets = secrets
        self._agents = agents_by_id
        self._say = say
        self._stop = stop
        self._seeds = seeds
        self._sockets = count()

    @contextmanager
    def ready(
        self,
        run: Run,
        bound: Sequence[Bound],
        origins: Mapping[str, Origin],
        snapshot: Callable[[Chosen], ChainID | None],
    ) -> Iterator[Ready]:
        """All that the command is to see, for the block's time; `snapshot` makes contexts layers.

        Raises `BuildError`, `PathNotFound` or a `StorageError`.
        """
        with ExitStack() as held:
            mounts: list[Mounted] = []
            if run.script is not None:
                mounts.append(File(run.script.data, _SCRIPT_MODE, 0, 0, run.script.path))
            mounts += [self._bind(each, snapshot, held) for each in bound]
            mounts += self._caches(run, origins, held)
            mounts += [
                Scratch(each.size, each.readonly, each.target)
                for each in run.mounts
                if each.kind == "tmpfs"
            ]
            secrets, variables = self._given_secrets(run)
            lent, sockets = self._lent_agents(run, held)
            yield Ready((*mounts, *secrets, *lent), (*variables, *sockets), bool(variables))

    # --- bind ---------------------------------------------------------------------------

    def _bind(
        self, bound: Bound, snapshot: Callable[[Chosen], ChainID | None], held: ExitStack
    ) -> LayerMount:
        (source,) = bound.chosen.selected
        if bound.origin.chain is not None:
            chain: ChainID | None = bound.origin.chain
            path = source.top.path or b""
        else:
            chain = snapshot(bound.chosen)
            path = source.top.name
        mount = bound.mount
        if mount.readonly and chain is not None:
            layer, writable = self._layers.resolve(chain), False
        else:
            layer, writable = self._layers.create_rw(chain), True
            held.callback(self._layers.remove_rw, layer)
        return LayerMount(layer, writable, path, source.is_directory, mount.target, mount.readonly)

    # --- cache --------------------------------------------------------------------------

    def _caches(self, run: Run, origins: Mapping[str, Origin], held: ExitStack) -> list[LayerMount]:
        asked = [mount for mount in run.mounts if mount.kind == "cache"]
        wishes = [_wish(mount, origins) for mount in asked]
        if not wishes:
            return []
        for wish in wishes:
            if wish.name.parent is not None:
                self._layers.resolve(
                    wish.name.parent
                )  # it must be here, wherever it was known from
        layers: tuple[LayerID, ...] = held.enter_context(
            self._store().taken(wishes, self._say, self._stop, self._seeds)
        )
        return [
            LayerMount(layer, True, os.fsencode(wish.path), True, mount.target, mount.readonly)
            for mount, wish, layer in zip(asked, wishes, layers, strict=True)
        ]

    # --- secrets and agents -------------------------------------------------------------

    def _given_secrets(self, run: Run) -> tuple[list[File], list[str]]:
        """Files and variables; one that is not there and not required is passed over."""
        files, variables = [], []
        for mount in run.mounts:
            if mount.kind != "secret":
                continue
            secret = self._secrets.get(mount.id)
            if secret is None:
                _refuse_missing(mount, f"--secret id={mount.id},src=FILE")
                continue
            data = secret.read(mount.id)
            if mount.target:
                files.append(_file(mount, data))
            if mount.env:
                variables.append(f"{mount.env}={_as_variable(data, mount)}")
        return files, variables

    def _lent_agents(self, run: Run, held: ExitStack) -> tuple[list[Volume], list[str]]:
        lent: list[Volume] = []
        for mount in run.mounts:
            if mount.kind != "ssh":
                continue
            agent = self._agents.get(mount.id)
            if agent is None:
                _refuse_missing(mount, f"--ssh {mount.id}")
                continue
            from lamina.build import lending

            path = self._store().scratch(f"agent{next(self._sockets)}")
            mode = _AGENT_MODE if mount.mode is None else mount.mode
            held.enter_context(
                lending.lent(agent, path, mode=mode, uid=mount.uid or 0, gid=mount.gid or 0)
            )
            lent.append(Volume(path, mount.target or f"{AGENT}{len(lent)}", False))
        return lent, [f"SSH_AUTH_SOCK={lent[0].target}"] if lent else []


def _wish(mount: Mount, origins: Mapping[str, Origin]) -> CacheWish:
    path = os.path.normpath("/" + mount.source).lstrip("/")
    return CacheWish(name_of(mount, origins), mount.sharing, path)


def _file(mount: Mount, data: bytes) -> File:
    mode = _SECRET_MODE if mount.mode is None else mount.mode
    return File(data, mode, mount.uid or 0, mount.gid or 0, mount.target)


def _as_variable(data: bytes, mount: Mount) -> str:
    if b"\0" in data:
        raise UsageError(
            f"the secret {mount.id!r} holds a zero byte and cannot be the variable {mount.env}",
            hint="mount it as a file",
        )
    return os.fsdecode(data)


def _refuse_missing(mount: Mount, flag: str) -> None:
    if mount.required:
        what = "secret" if mount.kind == "secret" else "ssh agent"
        raise BuildError(
            f"the {what} {mount.id!r} is required and was not given", hint=f"build with {flag}"
        )
