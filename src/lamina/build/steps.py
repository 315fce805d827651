"""One step over a chain: looked up by what it is made from, or carried out once.

What carries one out (`lamina.build.work`) is loaded by the first that is not known. Knows the cache
and trees; knows no Dockerfile, no stage and no config.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from lamina.build.api import Cache, CacheWish, Layers, Output
from lamina.build.cachekey import Fact, Inputs
from lamina.build.chosen import Chosen, content_of_chosen
from lamina.build.contentdigest import ROOM, Content, content_of
from lamina.build.memory import Memory, Outcome, Place
from lamina.build.operation import Copy, MakeDirectory, Run
from lamina.build.origins import NO_ORIGINS, Bound, Origin, facts_of, whole
from lamina.build.settings import Settings
from lamina.build.sources import ChainTree
from lamina.build.stop import Stop
from lamina.errors import LayerNotFound
from lamina.fs.tree import StackedTree, TreeView
from lamina.values.digest import ChainID

if TYPE_CHECKING:
    from lamina.build.owner import Owner
    from lamina.build.work import Work


class Steps:
    """Carries out steps over the layers of one store; `asked` gets the cache mounts of all."""

    def __init__(
        self,
        layers: Layers,
        cache: Cache,
        settings: Settings,
        memory: Memory,
        work: "Callable[[], Work]",
        stop: Stop,
        asked: dict[str, CacheWish],
    ) -> None:
        self._layers = layers
        self._cache = cache
        self._settings = settings
        self._memory = memory
        self._work = work
        self._stop = stop
        self._asked = asked

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
        self._note_asked(run, origins)
        bound = [
            Bound(mount, Chosen(origins[mount.from_].tree, whole(mount)), origins[mount.from_])
            for mount in run.mounts
            if mount.kind == "bind"
        ]
        return self._memory.perform(
            parent,
            lambda believing: self._look_at_run(parent, run, bound, believing),
            place,
            lambda _: self._work().run(parent, run, output, bound, origins),
            lambda _: _is_told_whole(run) and not self._settings.facts,
        )

    def _note_asked(self, run: Run, origins: Mapping[str, Origin]) -> None:
        for mount in run.mounts:
            if mount.kind != "cache":
                continue
            from lamina.build.mountname import name_of  # few have one

            name = name_of(mount, origins)
            known = self._asked.get(name.key)
            if known is None or known.sharing == "shared":  # what one has alone, all read alone
                self._asked[name.key] = CacheWish(name, mount.sharing, "")

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
            **self._settings.facts,
        }
        told = False
        for each in bound:
            content = self._content(each.chosen, each.origin, believing, room=ROOM // len(bound))
            facts[f"what is mounted on {each.mount.target}"] = content.digest
            told = told or content.told
        return Inputs(self._facts(parent, facts), told=told)

    def _content(
        self, chosen: Chosen, origin: Origin, believing: bool, *, room: int = ROOM
    ) -> Content:
        def look() -> Content:
            tree, selected, check = chosen.tree, chosen.selected, self._stop.check
            return content_of(tree, selected, origin.stat_cache, room=room, check=check)

        content = content_of_chosen(
            self._cache, self._settings.now, chosen, look, origin.chain, believing=believing
        )
        chosen.expect(content.seen)
        return content

    # --- WORKDIR ------------------------------------------------------------------------

    def make_directory(self, parent: ChainID | None, step: MakeDirectory, place: Place) -> Outcome:
        """Make a working directory where it is missing."""
        facts: dict[str, Fact] = {"op": "workdir", "destination": step.path, "user": step.user}
        inputs = Inputs(self._facts(parent, facts))
        return self._memory.perform(
            parent,
            lambda _: inputs,
            place,
            lambda _: self._work().make_directory(parent, step),
            lambda _: True,
        )

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

        def owner() -> tuple[int, int] | None:
            found = self._owner(parent, step.owner, believing=False)
            return found.ids if found is not None else None

        return self._memory.perform(
            parent,
            lambda believing: self._look_at_copy(parent, step, chosen, origin, believing),
            place,
            lambda before: self._work().copy(parent, step, chosen, owner(), before),
            lambda record: self._work().is_copy(parent, step, chosen, owner(), record),
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
            "owner": owner.text if owner is not None else None,
            "mode": step.mode if isinstance(step.mode, int | None) else step.mode.text,
            "parents": step.parents,
        }
        told = content.told or (owner is not None and owner.told)
        if step.link:
            facts["link"] = True
        if step.unpacks_fetched:
            facts["unpack"] = True
        return Inputs(self._facts(parent, facts), content.files, told)

    def _owner(
        self, parent: ChainID | None, text: str | None, *, believing: bool
    ) -> "Owner | None":
        if text is None:
            return None
        from lamina.build.owner import OwnerLookup

        looked_up = OwnerLookup(self._cache, self._settings.now, self._view)
        return looked_up(parent, text, believing=believing)


def _is_told_whole(run: Run) -> bool:
    """Whether a command's line of history tells all that it reads."""
    return not facts_of(run) and run.network != "none"
