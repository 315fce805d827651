"""What a COPY, an ADD or a bind mount takes of its tree, and the digest of that.

The content of a tree that never changes (a stage's, an image's) is looked at once and remembered
under what was chosen of it.
"""

import json
from collections.abc import Callable

from lamina.build.api import Cache
from lamina.build.cachekey import Fact, Inputs
from lamina.build.contentdigest import Content
from lamina.build.operation import Copy, Remote
from lamina.build.record import Record
from lamina.build.selection import Excludes, Inline, Seen, Selected, Wanted, select
from lamina.build.sources import SourceTree
from lamina.dockerfile.ignore import IgnoreFile
from lamina.values.digest import ChainID


class Chosen:
    """What a COPY takes of its tree, looked up when it is first asked for."""

    def __init__(self, tree: SourceTree, step: Copy) -> None:
        self.tree = tree
        self.step = step
        self._selected: list[Selected] | None = None

    @property
    def selected(self) -> list[Selected]:
        """The sources; raises `PathNotFound`."""
        if self._selected is None:
            step = self.step
            sources = tuple(each for each in step.sources if not isinstance(each, Remote))
            wanted = Wanted(sources, _excludes(step.exclude), step.parents)
            self._selected = select(self.tree, wanted)
        return self._selected

    def expect(self, seen: tuple[Seen, ...]) -> None:
        """From now on the sources are what they were when they were seen."""
        if seen:
            pairs = zip(self.selected, seen, strict=True)
            self._selected = [source.expect(each) for source, each in pairs]

    def spelled(self) -> dict[str, Fact]:
        """What decides about the choice in a tree that never changes."""
        step = self.step
        return {
            "sources": [each for each in step.sources if isinstance(each, str)],
            "inline": {
                each.name: each.data.hex() for each in step.sources if isinstance(each, Inline)
            },
            "exclude": list(step.exclude),
            "parents": step.parents,
        }


def _excludes(patterns: tuple[str, ...]) -> tuple[Excludes, ...]:
    if not patterns:
        return ()
    return (IgnoreFile.of(patterns).excludes,)


def content_of_chosen(
    cache: Cache,
    now: Callable[[], float],
    chosen: Chosen,
    look: Callable[[], Content],
    source_chain: ChainID | None,
    *,
    believing: bool,
) -> Content:
    """The digest of what was chosen; `source_chain` names what the tree shows, if it is fixed.

    Where nobody knows it, `look` does. What an imported cache tells of it is only taken when
    `believing`.
    """
    if source_chain is None:
        return look()
    facts: dict[str, Fact] = {"op": "content", "parent": source_chain, **chosen.spelled()}
    key = Inputs(facts).key
    known = cache.find(key)
    if known is not None and (believing or not known.source):
        noted = json.loads(known.inputs)
        return Content(noted["digest"], noted["files"], told=bool(known.source))
    content = look()
    text = json.dumps({"digest": content.digest, "files": dict(content.files)})
    cache.record(key, Record(None, text, now()))
    return content
