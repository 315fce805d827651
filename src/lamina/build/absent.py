"""What to say of a source that is not there: what hides it, where it leads, what is called so.

Decides nothing about what is found (lamina.build.selection).
"""

import os
import stat

from lamina.build.sources import SourceTree
from lamina.errors import PathNotFound

_NEAR = 3  # names that are proposed


def missing(tree: SourceTree, pattern: str, path: bytes) -> PathNotFound:
    """The error of a source `pattern`, of which `path` leads to nothing in the tree."""
    what = f"{tree.title} has no {pattern!r}"
    reason = tree.why_absent(path)
    if reason:
        return PathNotFound(f"{what}: {reason}")
    target = _target(tree, path)
    if target:
        link, goal = os.fsdecode(path), os.fsdecode(target)
        return PathNotFound(
            f"{what}: {link!r} is a link to {goal!r}, which is not there",
            hint=f"links are followed within {tree.title} alone",
        )
    near = _near(tree, path)
    hint = f"did you mean {' or '.join(near)}?" if near else _misunderstood(tree, pattern)
    return PathNotFound(what, hint=hint)


def _misunderstood(tree: SourceTree, pattern: str) -> str:
    """What is to be said to who takes a source for something else than a path in the tree."""
    if pattern.startswith(("http://", "https://", "git@", "git://", "ssh://")):
        return "ADD fetches what is elsewhere, COPY does not"
    if tree.keeps_owners:  # a stage's paths begin at its root, as one expects
        return ""
    if ".." in pattern.split("/"):
        return (
            "nothing above the context can be had: build from there, or bring it by --build-context"
        )
    return "a source is a path within the context" if pattern.startswith("/") else ""


def _target(tree: SourceTree, path: bytes) -> bytes:
    """Where the link at `path` leads; nothing when there is none."""
    try:
        status = tree.lstat(path)
        return tree.readlink(path) if status and stat.S_ISLNK(status.st_mode) else b""
    except OSError:
        return b""


def _near(tree: SourceTree, path: bytes) -> list[str]:
    """Names beside a missing one that look like it."""
    from difflib import get_close_matches

    folder, _, name = path.rpartition(b"/")
    try:
        beside = [os.fsdecode(child.name) for child in tree.children(folder)]
    except OSError:
        return []
    prefix = os.fsdecode(folder) + "/" if folder else ""
    close = get_close_matches(os.fsdecode(name), beside, _NEAR)
    return [prefix + each for each in close]
