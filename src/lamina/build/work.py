"""What no cache knows, carried out: a command, a directory, a copy, each made into a layer.

Loaded by the first step of a build that is not known. Knows layers and trees; knows no key and no
record.
"""

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import TypeAlias

from lamina.archive.entry import Body, EntryStream, Held, Piece, Segment
from lamina.build import copy
from lamina.build.add import Rewritten, WholeArchive, is_archive
from lamina.build.api import Command, Debug, Layers, Output, Runner
from lamina.build.chosen import Chosen
from lamina.build.copy import Manner
from lamina.build.likeness import is_the_same
from lamina.build.mounts import Mounting
from lamina.build.operation import Copy, MakeDirectory, Run
from lamina.build.origins import Bound, Origin
from lamina.build.record import Record
from lamina.build.selection import Selected
from lamina.build.settings import Settings
from lamina.build.stop import Stop
from lamina.dockerfile.chmod import Chmod
from lamina.errors import BadArchive, StepFailed
from lamina.fs.faults import crash_point
from lamina.fs.tree import StackedTree, TreeView
from lamina.layers.kinds import Source
from lamina.layers.layer import Layer
from lamina.layers.source import EntrySource
from lamina.layers.versions import Unlike, Version
from lamina.runtime.users import resolve_user
from lamina.values.digest import ChainID, DiffID

_NANO = 1_000_000_000
_TAIL = 4096  # bytes of a failed command's output that its error carries
_TAIL_LINES = 20

Ids: TypeAlias = tuple[int, int]
"""User and group."""


class Work:
    """Makes layers over those of one store."""

    def __init__(
        self,
        layers: Layers,
        runner: Callable[[], Runner],
        mounting: Mounting,
        settings: Settings,
        stop: Stop,
        debug: Debug | None,
    ) -> None:
        self._layers = layers
        self._runner = runner
        self._mounting = mounting
        self._settings = settings
        self._stop = stop
        self._debug = debug

    def _view(self, chain: ChainID | None) -> TreeView:
        return self._layers.view(chain) if chain is not None else StackedTree(())

    def _manner(self, owner: Ids | None, mode: Chmod | None) -> Manner:
        """How files that are copied now are to look."""
        epoch = self._settings.epoch
        clamp = None if epoch is None else epoch * _NANO
        return Manner(owner, mode, int(self._settings.now()) * _NANO, clamp)

    def run(
        self,
        parent: ChainID | None,
        run: Run,
        output: Output,
        bound: list[Bound],
        origins: Mapping[str, Origin],
    ) -> Layer | None:
        """Run a command over `parent`; raises `StepFailed` with the end of its output."""
        tail = _Tail(output)
        layer = self._layers.create_rw(parent)
        try:
            with self._mounting.ready(run, bound, origins, self._bound) as ready:
                command = Command(
                    run.argv,
                    (*run.env, *run.proxies, *ready.env),
                    run.cwd,
                    run.user,
                    run.network,
                    ready.mounts,
                    ready.confidential,
                    run.insecure,
                    self._settings.surroundings,
                )
                ended = self._runner().run(layer, command, tail, self._stop)
                crash_point("command-ended")
                if ended.code and self._debug is not None:
                    self._look_around(parent, command, self._debug)
            self._stop.check()
            if ended.code:
                why = f": {ended.words}" if ended.words else ""
                raise StepFailed(
                    f"the command {_shown(run.argv)} ended with exit status {ended.code}{why}",
                    status=ended.code,
                    details=tail.text(),
                )
            return self._layers.snapshot_rw(layer, clamp=self._settings.epoch)
        finally:
            self._layers.remove_rw(layer)

    def _look_around(self, parent: ChainID | None, command: Command, debug: Debug) -> None:
        """On what the command began with, in a layer of its own that goes with it."""
        layer = self._layers.create_rw(parent)
        try:
            debug(lambda stdio, tty: self._runner().shell(layer, command, stdio, tty=tty))
        finally:
            self._layers.remove_rw(layer)

    def _bound(self, chosen: Chosen) -> ChainID | None:
        """What is bound of a context, as a layer that lives as long as this build; None: nothing.

        The command sees what was digested, whatever becomes of the context meanwhile.
        """
        step = chosen.step._replace(destination="/")
        layer = self.copy(None, step, chosen, None)
        return layer.chain_id if layer is not None else None

    def make_directory(self, parent: ChainID | None, step: MakeDirectory) -> Layer | None:
        """Make a working directory over `parent`; None where it is there."""
        view = self._view(parent)
        try:
            user = resolve_user(view, step.user)
            manner = self._manner((user.uid, user.gid), None)
            made = list(copy.making(view, step.path, manner))
            if not made:
                return None
            source = EntrySource((entry, None) for entry in made)
            return self._layers.register_entries(parent, source)
        finally:
            view.close()

    def copy(
        self,
        parent: ChainID | None,
        step: Copy,
        chosen: Chosen,
        owner: Ids | None,
        before: ChainID | None = None,
    ) -> Layer | None:
        """Copy over `parent`, for `owner` (None: as it is); None where that changes nothing.

        The layer may stand on that on top of `before`, which an earlier such copy made.
        """
        manner = self._manner(owner, step.mode)
        with closing(self._view(parent)) as view:
            if before is not None and not step.link:
                try:
                    with self._layers.version(parent, before) as version:
                        return self._copied(parent, _source(view, step, chosen, manner), version)
                except Unlike:
                    pass
            return self._copied(parent, _source(view, step, chosen, manner), None)

    def _copied(
        self, parent: ChainID | None, source: Source | None, version: Version | None
    ) -> Layer | None:
        if source is None:
            return None
        if version is not None and isinstance(source, EntrySource):
            beside = Stoppable(EntrySource(source.entries, version.entries), self._stop)
            return self._layers.register_entries(parent, beside, version)
        with _blamed(source):
            return self._layers.register_entries(parent, Stoppable(source, self._stop))

    def is_copy(
        self,
        parent: ChainID | None,
        step: Copy,
        chosen: Chosen,
        owner: Ids | None,
        record: Record,
    ) -> bool:
        """Whether a chain over `parent` is what the copy would make of it."""
        with closing(self._view(parent)) as view:
            source = _source(view, step, chosen, self._manner(owner, step.mode))
            if source is None or record.chain_id in (None, parent):
                return source is None and record.chain_id == parent
            if not isinstance(source, EntrySource):
                return False  # an archive's members are its own
            layer = self._layers.chain(record.chain_id)[-1]
            with closing(self._layers.index(layer)) as index:
                return is_the_same(source.entries, index.records())


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


@contextmanager
def _blamed(source: Source) -> Iterator[None]:
    """Say of an archive that cannot be unpacked which it is."""
    try:
        yield
    except BadArchive as error:
        if not isinstance(source, WholeArchive | Rewritten):
            raise
        raise BadArchive(
            f"unpacking {source.unpacked!r}: {error.brief}",
            hint="make it anew, or COPY it as it is",
        ) from error


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


class Stoppable:
    """A layer source of which nothing more is read once the build is to end."""

    def __init__(self, source: Source, stop: Stop) -> None:
        self._source = source
        self._stop = stop

    def segments(self) -> Generator[Segment, None, None]:
        """The source's, as long as there is no stop; else raises `Stopped`."""
        with closing(self._source.segments()) as segments:
            for segment in segments:
                self._stop.check()
                if isinstance(segment.body, Held):
                    yield segment
                else:
                    yield segment._replace(body=_StoppableBody(segment.body, self._stop))

    def diff_id(self) -> DiffID:
        """The source's."""
        return self._source.diff_id()


class _StoppableBody:
    __slots__ = ("_check", "_read")

    def __init__(self, body: Body, stop: Stop) -> None:
        self._read = body.read
        self._check = stop.check

    def read(self, size: int, /) -> Piece:
        self._check()
        return self._read(size)


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
    line = first if first == text else first + " ..."
    printed = (each if each.isprintable() else ascii(each)[1:-1] for each in line)
    return f"'{''.join(printed)}'"  # with its own quotes and backslashes as they were written
