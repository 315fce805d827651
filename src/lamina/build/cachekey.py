"""What a build step depends on, as a value: its cache key, and the reason when it misses.

A step's inputs are named facts (the operation, the chain it stands on, environment, content
digests ...). The key is the digest of their canonical JSON; the same JSON, kept in the record
with one digest per file, later says which fact changed. Nothing here reads a file or a clock.

The rules (docs/format/build-cache.md): a fact is in the inputs when it can change the layer, and
only then. Times of files never are, and instructions that only edit the config have no key.
"""

import hashlib
import json
import os
from binascii import crc32
from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

from lamina.values.digest import ChainID

VERSION = 1  # raise it when a step's meaning changes, so that no older record answers
_LISTED_FILES = 400  # a record of more files keeps one digest per directory near the top
_DEEPEST = 3  # levels of directories that are told apart then
_SHOWN = 3

Fact: TypeAlias = str | int | bool | list[str] | dict[str, str] | None


class Inputs(NamedTuple):
    """`facts` make the key; `files` (names with digests) explain the fact `content`.

    A fact that an imported cache has `told` is good to ask that cache by, and for nothing else.
    """

    facts: Mapping[str, Fact]
    files: Mapping[str, str] = {}
    told: bool = False

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

    def to_json(self, gave: str | None = None) -> str:
        """As a cache record keeps it; a note of what it `gave` (a chain), too."""
        document: dict[str, object] = {"facts": dict(self.facts), "files": dict(self.files)}
        if gave is not None:
            document["gave"] = gave
        return json.dumps(document, sort_keys=True, separators=(",", ":"))


class Files:
    """Digests by file, or by directory near the top once the files are many.

    A directory's is the exclusive or of its files', so it does not matter when they were put
    together. For explanations only: nobody is kept from making two directories look equal.
    """

    def __init__(self) -> None:
        self._rows: dict[str, int] = {}
        self._depth: int | None = None
        self._folders: dict[bytes, str] = {}

    def add(self, name: bytes, line: bytes) -> None:
        """Count a file of that name and all else that `line` says of it, its digest last."""
        value = int.from_bytes(line[-8:], "big") ^ crc32(line) << 24
        row = self._folders.get(name.rpartition(b"/")[0])  # most are in one that is known
        if row is not None:
            self._rows[row] ^= value
            return
        self._put(os.fsdecode(name), value)
        while len(self._rows) > _LISTED_FILES and self._depth != 0:
            self._depth = _DEEPEST if self._depth is None else self._depth - 1
            self._folders = {}
            rows, self._rows = self._rows, {}
            for each, value in rows.items():
                self._put(each, value)

    def _put(self, name: str, value: int) -> None:
        row = name
        if self._depth is not None:
            folder = name.rpartition("/")[0]
            above = folder.split("/")[: self._depth] if folder else ()
            row = "".join(f"{each}/" for each in above) or "./"
            self._folders = {os.fsencode(folder): row}  # files of one directory come together
        self._rows[row] = self._rows.get(row, 0) ^ value

    def condensed(self) -> dict[str, str]:
        """The digests, at most 400 of them."""
        return {name: f"{value:016x}" for name, value in self._rows.items()}


def copied_before(noted: str) -> ChainID | None:
    """The chain that a COPY gave by such a note; None for any other step, and for --link."""
    try:
        document = json.loads(noted)
        facts = document["facts"]
        is_copy = facts["op"] == "copy" and not facts.get("link")
        return ChainID(document["gave"]) if is_copy and "gave" in document else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


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
        return _changed_files(files, now.files)
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
    if names or not new:
        return _some(names) or "the content changed"
    return "a directory came, went or changed"  # files alone are listed


def _changed_variables(old: list[str], new: list[str]) -> str:
    before = dict(item.partition("=")[::2] for item in old)
    after = dict(item.partition("=")[::2] for item in new)
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return f"the environment changed ({_some(names)})"


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
