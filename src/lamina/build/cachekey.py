"""What a build step depends on, as a value: its cache key, and the reason when it misses.

A step's inputs are named facts (the operation, the chain it stands on, environment, content
digests ...). The key is the digest of their canonical JSON; the same JSON, kept in the record
with one digest per file, later says which fact changed. Nothing here reads a file or a clock.

The rules (docs/format/build-cache.md): a fact is in the inputs when it can change the layer, and
only then. Times of files never are, and instructions that only edit the config have no key.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeAlias

VERSION = 1  # raise it when a step's meaning changes, so that no older record answers
_LISTED_FILES = 400  # a record of more files keeps one digest per directory near the top
_SHOWN = 3

Fact: TypeAlias = str | int | bool | list[str] | dict[str, str] | None


class Inputs(NamedTuple):
    """`facts` make the key; `files` (name, digest) explain the fact `content`."""

    facts: Mapping[str, Fact]
    files: tuple[tuple[str, str], ...] = ()

    @property
    def key(self) -> str:
        """The step's cache key: `sha256:<hex>`."""
        text = json.dumps(
            {"version": VERSION, **self.facts},
            sort_keys=True,
            separators=(",", ":"),
            ensure_ascii=True,
        )
        return "sha256:" + hashlib.sha256(text.encode("ascii")).hexdigest()

    def to_json(self) -> str:
        """As a cache record keeps it."""
        return json.dumps(
            {"facts": dict(self.facts), "files": dict(_condensed(self.files))},
            sort_keys=True,
            separators=(",", ":"),
        )


def _condensed(files: tuple[tuple[str, str], ...]) -> Iterable[tuple[str, str]]:
    """The files themselves, or a digest for each directory near the top when they are many."""
    depth = 3
    while len(files) > _LISTED_FILES and depth:
        files = _by_directory(files, depth)
        depth -= 1
    return files if len(files) <= _LISTED_FILES else ()


def _by_directory(files: tuple[tuple[str, str], ...], depth: int) -> tuple[tuple[str, str], ...]:
    groups: dict[str, list[str]] = {}
    for name, digest in files:
        folder = "/".join(name.split("/")[:depth])
        groups.setdefault(folder, []).append(digest)
    return tuple(
        (folder, hashlib.sha256("".join(digests).encode()).hexdigest()[:16])
        for folder, digests in groups.items()
    )


_SUBJECTS = {
    "argv": "the command",
    "content": "the content",
    "cwd": "the working directory",
    "destination": "the destination",
    "epoch": "SOURCE_DATE_EPOCH",
    "mode": "--chmod",
    "network": "the network",
    "owner": "the owner",
    "parent": "the layer below",
    "user": "the user",
    "volumes": "the volumes",
}


def explain(before: str | None, now: Inputs) -> str:
    """Why no record answers: what differs from the inputs this step had last time.

    `before` is the JSON of those inputs, None when the step was never seen.
    """
    if before is None:
        return "this step was not built here before"
    try:
        document = json.loads(before)
        facts, files = document["facts"], document["files"]
        names = {**facts, **now.facts}
        changed = [name for name in names if facts.get(name) != now.facts.get(name)]
    except (ValueError, KeyError, TypeError, AttributeError):
        return "the record of this step cannot be read"
    if not changed:
        return "its layer is no longer stored"
    return "; ".join(_difference(name, facts, files, now) for name in sorted(changed))


def _difference(
    name: str, facts: Mapping[str, object], files: Mapping[str, str], now: Inputs
) -> str:
    old, new = facts.get(name), now.facts.get(name)
    if name == "content":
        return _changed_files(files, dict(_condensed(now.files)))
    if name == "env" and isinstance(old, list) and isinstance(new, list):
        return _changed_variables(old, new)
    subject = _SUBJECTS.get(name, name)
    return f"{subject} changed"


def _changed_files(old: Mapping[str, str], new: Mapping[str, str]) -> str:
    names = [
        *(f"{name} changed" for name in new if name in old and old[name] != new[name]),
        *(f"{name} is new" for name in new if name not in old),
        *(f"{name} is gone" for name in old if name not in new),
    ]
    return _some(names) or "the content changed"


def _changed_variables(old: list[str], new: list[str]) -> str:
    before = dict(item.partition("=")[::2] for item in old)
    after = dict(item.partition("=")[::2] for item in new)
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return f"the environment changed ({_some(names)})"


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
