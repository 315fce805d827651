"""A file found by an image's uppermost layers is the one that the merged tree of all shows."""

import io
from functools import partial

from container_acts import PATHS
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st

from lamina.analyze.merged import MergedTree
from lamina.analyze.reach import Reach, Unclear, content_of
from lamina.archive.index import records
from lamina.archive.reader import read
from lamina.errors import BadArchive, LaminaError, PathNotFound
from lamina.testing.trees import tar_of
from tests.property.test_driver_trees import members

several = st.lists(st.lists(members, max_size=7), min_size=1, max_size=4)


def completed(lines):
    """The same members as layers usually have them: each name once, its folders before it."""
    known, made = set(), []
    for line in lines:
        name = line.split()[1]
        parts = name.split("/")
        for end in range(1, len(parts)):
            folder = "/".join(parts[:end])
            if folder not in known:
                known.add(folder)
                made.append(f"d {folder}")
        if name not in known:
            known.add(name)
            made.append(line)
    return made


def taken(layers):
    """The records of the layers that fit, and their merged tree."""
    kept, tree = [], MergedTree()
    for lines in layers:
        found = list(records(read(io.BytesIO(tar_of("\n".join(lines))))))
        again = MergedTree()
        try:
            for each in (*kept, found):
                again.add_layer(iter(each))
        except BadArchive:
            continue
        kept, tree = [*kept, found], again
    return kept, tree


def outcome(call):
    try:
        found = call()
    except LaminaError as error:
        return type(error)
    return found.size, found.digest


def by_tree(tree, path):
    node = tree.resolve(path)
    if node is None or node.now is None:
        raise PathNotFound("nothing")
    return content_of(path, node.now)


def by_reach(kept, path):
    """What it says, and how many layers it needed; None where it wants the tree."""
    reach = Reach(len(kept))
    while True:
        try:
            return outcome(lambda: reach.find(path)), len(kept) - 1 - reach.next
        except Unclear as unclear:
            if unclear.odd:
                return None, len(kept)
            reach.add(iter(kept[reach.next]))


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@example([["f a/x 1"], ["f a/x 22"], ["d b"]])
@example([["f a/x 1"], ["w a/x"]])
@example([["f a/x 1"], ["o a", "f a/y 1"]])
@example([["f a/x 1"], ["o ."]])
@example([["f a/x 1"], ["w a"], ["d a"]])
@example([["f a/x 1"], ["f a 22"], ["d a"]])
@example([["f b/y 1"], ["l a -> b"], ["f b/y 22"]])
@example([["f b/y 1", "l a -> /b"], ["d a"]])
@example([["f a 1"], ["h c -> a"], ["f a 22"]])
@example([["f a 1"], ["h c -> a", "w a"]])
@example([["l a -> b", "f b 1"], ["h c -> a"]])
@example([["l b -> a", "l a -> b"]])
@example([["f a 1"], ["h c -> a", "f a 22"]])
@example([["f a 1"], ["h a -> a"]])
@example([["f a/x/q 1"], ["d a", "h a/x -> a"]])
@given(several)
def test_the_upper_layers_say_what_the_tree_says(layers):
    for each in (layers, [completed(lines) for lines in layers]):
        kept, tree = taken(each)
        for path in map(str.encode, PATHS):
            found, needed = by_reach(kept, path)
            if found is not None:
                assert found == outcome(partial(by_tree, tree, path))
            event("the tree" if found is None else f"{needed - len(kept)} layers")


def test_what_lies_below_the_file_is_not_looked_at():
    layers = [["f a 1"], ["d d", "f d/x 22", "l l -> d/x"], ["d d", "f d/y 333"]]
    kept, _ = taken(layers)
    for path, needed in ((b"d/y", 1), (b"d/x", 2), (b"l", 2), (b"a", 3), (b"none", 3)):
        assert by_reach(kept, path)[1] == needed
