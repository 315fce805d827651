"""Carrying out one step over a chain: look it up, or do it once, and remember what it gave.

Knows layers, trees and the cache; knows no Dockerfile, no stage and no config.
"""

from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from typing import NamedTuple

from lamina.archive.entry import EntryStream
from lamina.build import copy
from lamina.build.add import Rewritten, WholeArchive, is_archive
from lamina.build.api import Cache, Command, Debug, Layers, Output, Runner
from lamina.build.cachekey import Fact, Inputs
from lamina.build.chosen import Chosen, content_of_chosen
from lamina.build.contentdigest import Content
from lamina.build.copy import Manner
from lamina.build.memory import Memory, Outcome, Place
from lamina.build.mounts import NO_ORIGINS, Bound, Mounting, Origin, facts_of, whole
from lamina.build.operation import Copy, MakeDirectory, Run
from lamina.build.owner import Owner, OwnerLookup
from lamina.build.past import is_the_same
from lamina.build.record import Record
from lamina.build.selection import Selected
from lamina.build.sources import ChainTree
from lamina.build.stop import Stop, Stoppable
from lamina.dockerfile.chmod import Chmod, Symbolic
from lamina.errors import LayerNotFound, StepFailed
from lamina.fs.faults import crash_point
from lamina.fs.tree import StackedTree, TreeView
from lamina.layers.kinds import Source
from lamina.layers.layer import Layer
from lamina.layers.source import EntrySource
from lamina.runtime.users import resolve_user
from lamina.values.digest import ChainID

_NANO = 1_000_000_000
_TAIL = 4096  # bytes of a failed command's output that its error carries
_TAIL_LINES = 20


class Settings(NamedTuple):
    """What holds for every step of one build; `epoch` in seconds since the epoch."""

    epoch: int | None
    clock: Callable[[], float]

    def now(self) -> float:
        """The time that a step made now carries, in seconds since the epoch."""
        return round(self.clock(), 3) if self.epoch is None else float(self.epoch)

    def manner(self, owner: tuple[int, int] | None, mode: Chmod | None) -> Manner:
        """How copied files are to look."""
        clamp = None if self.epoch is None else self.epoch * _NANO
        return Manner(owner, mode, int(self.now()) * _NANO, clamp)


class Steps:
    """Carries out steps over the layers of one store."""

    def __init__(
        self,
        layers: Layers,
        cache: Cache,
        runner: Runner,
        mounting: Mounting,
        settings: Settings,
        stop: Stop,
        debug: Debug | None,
        memory: Memory,
    ) -> None:
        self._layers = layers
        self._cache = cache
        self._runner = runner
        self._mounting = mounting
        self._settings = settings
        self._stop = stop
        self._debug = debug
        self._memory = memory

    def _facts(self, parent: ChainID | None, facts: dict[str, Fact]) -> dict[str, Fact]:
        facts["parent"] = parent or "scratch"
        if self._settings.epoch is not None:
            facts["epoch"] = self._settings.epoch
        return facts

    def _view(self, chain: ChainID | None) -> TreeView:
        return self._layers.view(chain) if chain is not None else StackedTree(())

    def keep(self, chain: ChainID | None, title: str) -> None:
        """Let nobody remove a chain while the build needs it; raises `LayerNotFound`."""
        if chain is not None and self._layers.held(chain) is None:
            raise LayerNotFound(f"the layers of {title} were removed just now")

    def open_chain(self, chain: ChainID | None, title: str) -> ChainTree:
        """The tree of an earlier stage or an image, to copy from; the caller closes it."""
        return ChainTree(lambda: self._view(chain), title)

    # --- RUN ----------------------------------------------------------------------------

    def run(
        self,
        parent: ChainID | None,
        run: Run,
        place: Place,
        output: Output,
        *,
        origins: Mapping[str, Origin] = NO_ORIGINS,
    ) -> Outcome:
        """Run a command over `parent`; raises `StepFailed` with the end of its output.

        `origins` are what the `from` of its mounts name.
        """
        bound = [
            Bound(mount, Chosen(origins[mount.from_].tree, whole(mount)), origins[mount.from_])
            for mount in run.mounts
            if mount.kind == "bind"
        ]
        return self._memory.perform(
            parent,
            lambda believing: self._look_at_run(parent, run, bound, believing),
            place,
            lambda: self._run(parent, run, output, bound, origins),
            lambda _: _is_told_whole(run),
        )

    def _look_at_run(
        self, parent: ChainID | None, run: Run, bound: list[Bound], believing: bool
    ) -> Inputs:
        facts: dict[str, Fact] = {
            "op": "run",
            "argv": list(run.argv),
            "env": list(run.env),
            "cwd": run.cwd,
            "user": run.user,
            "network": run.network,
            **facts_of(run),
        }
        told = False
        for each in bound:
            content = self._content(each.chosen, each.origin, believing)
            facts[f"what is mounted on {each.mount.target}"] = content.digest
            told = told or content.told
        return Inputs(self._facts(parent, facts), told=told)

    def _content(self, chosen: Chosen, origin: Origin, believing: bool) -> Content:
        content = content_of_chosen(
            self._cache,
            self._settings.now,
            chosen,
            origin.stat_cache,
            origin.chain,
            believing=believing,
        )
        chosen.expect(content.seen)
        return content

    def _run(
        self,
        parent: ChainID | None,
        run: Run,
        output: Output,
        bound: list[Bound],
        origins: Mapping[str, Origin],
    ) -> Layer | None:
        tail = _Tail(output)
        layer = self._layers.create_rw(parent)
        try:
            with self._mounting.ready(run, bound, origins, self._snapshot) as ready:
                command = Command(
                    run.argv,
                    (*run.env, *run.proxies, *ready.env),
                    run.cwd,
                    run.user,
                    run.network,
                    ready.mounts,
                    ready.confidential,
                    run.insecure,
                )
                status = self._runner.run(layer, command, tail, self._stop)
                crash_point("command-ended")
                if status and self._debug is not None:
                    self._look_around(parent, command, self._debug)
            self._stop.check()
            if status:
                raise StepFailed(
                    f"the command {_shown(run.argv)} ended with exit status {status}",
                    status=status,
                    details=tail.text(),
                )
            return self._layers.snapshot_rw(layer, clamp=self._settings.epoch)
        finally:
            self._layers.remove_rw(layer)

    def _look_around(self, parent: ChainID | None, command: Command, debug: Debug) -> None:
        """On what the command began with, in a layer of its own that goes with it."""
        layer = self._layers.create_rw(parent)
        try:
            debug(lambda stdio, tty: self._runner.shell(layer, command, stdio, tty=tty))
        finally:
            self._layers.remove_rw(layer)

    def _snapshot(self, chosen: Chosen) -> ChainID | None:
        """What is bound of a context, as a layer that lives as long as this build; None: nothing.

        The command sees what was digested, whatever becomes of the context meanwhile.
        """
        step = chosen.step._replace(destination="/")
        layer = self._copy(None, step, chosen, self._settings.manner(None, None))
        return layer.chain_id if layer is not None else None

    # --- WORKDIR ------------------------------------------------------------------------

    def make_directory(self, parent: ChainID | None, step: MakeDirectory, place: Place) -> Outcome:
        """Make a working directory where it is missing."""
        facts: dict[str, Fact] = {"op": "workdir", "destination": step.path, "user": step.user}
        inputs = Inputs(self._facts(parent, facts))
        make = partial(self._make_directory, parent, step)
        return self._memory.perform(parent, lambda _: inputs, place, make, lambda _: True)

    def _make_directory(self, parent: ChainID | None, step: MakeDirectory) -> Layer | None:
        view = self._view(parent)
        try:
            user = resolve_user(view, step.user)
            manner = self._settings.manner((user.uid, user.gid), None)
            made = list(copy.making(view, step.path, manner))
            if not made:
                return None
            source = EntrySource((entry, None) for entry in made)
            return self._layers.register_entries(parent, source)
        finally:
            view.close()

    # --- COPY and ADD -------------------------------------------------------------------

    def copy(
        self,
        parent: ChainID | None,
        step: Copy,
        origin: Origin,
        place: Place,
    ) -> Outcome:
        """Copy from `origin` onto `parent`.

        The content of a tree that can never change is not looked at again.
        """
        chosen = Chosen(origin.tree, step)

        def manner() -> Manner:
            owner = self._owner(parent, step.owner, believing=False).ids
            return self._settings.manner(owner, step.mode)

        return self._memory.perform(
            parent,
            lambda believing: self._look_at_copy(parent, step, chosen, origin, believing),
            place,
            lambda: self._copy(parent, step, chosen, manner()),
            lambda record: self._is_copy(parent, step, chosen, manner(), record),
        )

    def _look_at_copy(
        self,
        parent: ChainID | None,
        step: Copy,
        chosen: Chosen,
        origin: Origin,
        believing: bool,
    ) -> Inputs:
        owner = self._owner(parent, step.owner, believing=believing)
        content = self._content(chosen, origin, believing)
        facts: dict[str, Fact] = {
            "op": "add" if step.unpacks else "copy",
            "content": content.digest,
            "destination": step.destination,
            "owner": owner.text,
            "mode": step.mode.text if isinstance(step.mode, Symbolic) else step.mode,
            "parents": step.parents,
        }
        if step.link:
            facts["link"] = True
        if step.unpacks_fetched:
            facts["unpack"] = True
        return Inputs(self._facts(parent, facts), content.files, content.told or owner.told)

    def _owner(self, parent: ChainID | None, text: str | None, *, believing: bool) -> Owner:
        looked_up = OwnerLookup(self._cache, self._settings.now, self._view)
        return looked_up(parent, text, believing=believing)

    def _copy(
        self, parent: ChainID | None, step: Copy, chosen: Chosen, manner: Manner
    ) -> Layer | None:
        view = self._view(parent)
        try:
            source = _source(view, step, chosen, manner)
            if source is None:
                return None
            return self._layers.register_entries(parent, Stoppable(source, self._stop))
        finally:
            view.close()

    def _is_copy(
        self,
        parent: ChainID | None,
        step: Copy,
        chosen: Chosen,
        manner: Manner,
        record: Record,
    ) -> bool:
        """Whether a chain over `parent` is what the copy would make of it."""
        with closing(self._view(parent)) as view:
            source = _source(view, step, chosen, manner)
            if source is None or record.chain_id in (None, parent):
                return source is None and record.chain_id == parent
            if not isinstance(source, EntrySource):
                return False  # an archive's members are its own
            layer = self._layers.chain(record.chain_id)[-1]
            with closing(self._layers.index(layer)) as index:
                return is_the_same(source.entries, index.records())


def _is_told_whole(run: Run) -> bool:
    """Whether a command's line of history tells all that it reads."""
    return not facts_of(run) and run.network != "none"


def _source(view: TreeView, step: Copy, chosen: Chosen, manner: Manner) -> Source | None:
    """The layer that a copy makes; None when it would change nothing."""
    tree, selected = chosen.tree, chosen.selected
    archives = frozenset(
        number
        for number, each in enumerate(selected)
        if _may_unpack(step, each) and is_archive(tree, each)
    )
    to = copy.destination(view, step.destination, selected, unpacks=bool(archives), link=step.link)
    if archives:
        as_it_is = manner.owner is None and manner.clamp_ns is None and not to.path
        if len(selected) == 1 and as_it_is:
            return WholeArchive(tree, selected[0])
        return Rewritten(tree, view, selected, to, manner, archives=archives)
    return _unless_empty(copy.entries(tree, view, selected, to, manner))


def _may_unpack(step: Copy, source: Selected) -> bool:
    return step.unpacks if source.top.fetched is None else step.unpacks_fetched


def _unless_empty(entries: EntryStream) -> EntrySource | None:
    first = next(entries, None)
    if first is None:
        return None

    def all_of_them() -> EntryStream:
        yield first
        yield from entries

    return EntrySource(all_of_them())


class _Tail:
    """Passes output on and keeps its end, for the error."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._kept = b""

    def __call__(self, stream: int, data: bytes) -> None:
        self._kept = (self._kept + data)[-_TAIL:]
        self._output(stream, data)

    def text(self) -> str:
        """The last lines of the output."""
        lines = self._kept.decode("utf-8", "replace").splitlines()
        return "\n".join(lines[-_TAIL_LINES:])


def _shown(argv: tuple[str, ...]) -> str:
    text = " ".join(argv)
    first = text.partition("\n")[0]
    return repr(first if first == text else first + " ...")
