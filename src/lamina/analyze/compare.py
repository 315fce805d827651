"""What differs between two images: config, layers, packages, files. Pure.

A file differs by its kind, content, link, mode, owner or attributes; its time alone is no
difference, as it is none in a layer.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple, TypeVar

from lamina.analyze.merged import MergedTree, Node, Version
from lamina.analyze.packages import Package
from lamina.archive.entry import DIR, SYMLINK
from lamina.spec.imageconfig import ImageConfig
from lamina.spec.strictjson import Json
from lamina.values.digest import DiffID

Kind = Literal["A", "C", "D"]
T = TypeVar("T")
_TOP = ("architecture", "os", "variant", "author")


class Setting(NamedTuple):
    """One setting of the config (`Env.PATH`, `Cmd`), as JSON; None where it is not set."""

    name: str
    before: str | None
    after: str | None


class PackageChange(NamedTuple):
    """A package and its versions, several where it is installed several times."""

    manager: str
    name: str
    architecture: str
    before: tuple[str, ...]
    after: tuple[str, ...]

    @property
    def kind(self) -> Kind:
        """Whether it came, went or changed, as for files."""
        return "A" if not self.before else "C" if self.after else "D"


class FileChange(NamedTuple):
    """A path that was added, changed or deleted; `what` of it changed.

    Sizes in bytes; a further name of a file has none.
    """

    kind: Kind
    path: bytes
    what: tuple[str, ...]
    before: int
    after: int


class Comparison(NamedTuple):
    """Everything that differs. `common` is the number of lowest layers that both images have."""

    settings: tuple[Setting, ...]
    common: int
    before: tuple[DiffID, ...]
    after: tuple[DiffID, ...]
    packages: tuple[PackageChange, ...]
    files: tuple[FileChange, ...]

    @property
    def same(self) -> bool:
        """Whether nothing differs that a container could see."""
        return not (self.settings or self.packages or self.files)


class Beside(NamedTuple):
    """One of two images: its documents, its tree and what its package managers wrote."""

    config: ImageConfig
    tree: MergedTree
    packages: Sequence[Package]


def compared(one: Beside, other: Beside) -> Comparison:
    """What differs, `one` being the image before."""
    before, after = one.config.diff_ids, other.config.diff_ids
    common = common_layers(before, after)
    return Comparison(
        settings(one.config, other.config),
        common,
        before[common:],
        after[common:],
        packages(one.packages, other.packages),
        files(one.tree, other.tree),
    )


def settings(one: ImageConfig, other: ImageConfig) -> tuple[Setting, ...]:
    """The settings that differ, by name."""
    return tuple(
        Setting(name, _json(before), _json(after))
        for name, before, after in _differing(dict(_flat(one)), dict(_flat(other)))
    )


def _flat(config: ImageConfig) -> Iterator[tuple[str, Json]]:
    for key in _TOP:
        if config.document.get(key):
            yield key, config.document[key]
    inner = config.document.get("config")
    for key, value in inner.items() if isinstance(inner, dict) else ():
        if key == "Env" and isinstance(value, list):
            pairs = (str(each).partition("=") for each in value)
            yield from ((f"Env.{name}", text) for name, _, text in pairs)
        elif key in ("Labels", "ExposedPorts", "Volumes") and isinstance(value, dict):
            yield from ((f"{key}.{name}", each) for name, each in value.items())
        elif value not in (None, "", [], {}):
            yield key, value


def _json(value: Json) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False)


def _differing(
    one: Mapping[str, T], other: Mapping[str, T]
) -> Iterator[tuple[str, T | None, T | None]]:
    for name in sorted({*one, *other}):
        if one.get(name) != other.get(name):
            yield name, one.get(name), other.get(name)


def common_layers(one: Sequence[DiffID], other: Sequence[DiffID]) -> int:
    """How many of the lowest layers are the same."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))


def packages(one: Iterable[Package], other: Iterable[Package]) -> tuple[PackageChange, ...]:
    """The packages that came, went or changed their versions."""
    before, after = _versions(one), _versions(other)
    return tuple(
        PackageChange(*key, before.get(key, ()), after.get(key, ()))
        for key in sorted({*before, *after})
        if before.get(key, ()) != after.get(key, ())
    )


def _versions(found: Iterable[Package]) -> dict[tuple[str, str, str], tuple[str, ...]]:
    versions: dict[tuple[str, str, str], set[str]] = {}
    for each in found:
        key = (each.manager, each.name, each.architecture)
        versions.setdefault(key, set()).add(each.version)
    return {key: tuple(sorted(each)) for key, each in versions.items()}


def files(one: MergedTree, other: MergedTree) -> tuple[FileChange, ...]:
    """The paths that differ, sorted; what is in a directory that came or went is named, too."""
    found: list[FileChange] = []
    waiting: list[tuple[bytes, Node | None, Node | None]] = [(b"", one.root, other.root)]
    while waiting:
        path, a, b = waiting.pop()
        if path:
            change = _file(path, a.now if a else None, b.now if b else None)
            if change is not None:
                found.append(change)
        prefix = path + b"/" if path else b""
        inside_a, inside_b = _children(a), _children(b)
        names = {*inside_a, *inside_b}
        waiting += [(prefix + name, inside_a.get(name), inside_b.get(name)) for name in names]
    return tuple(sorted(found, key=lambda each: each.path.split(b"/")))


def _children(node: Node | None) -> dict[bytes, Node]:
    children = (node.children or {}) if node is not None else {}
    return {name: each for name, each in children.items() if each.now is not None}


def _file(path: bytes, a: Version | None, b: Version | None) -> FileChange | None:
    if a is None or b is None:
        kind: Kind = "A" if a is None else "D"
        return FileChange(kind, path, (), _size(a), _size(b))
    what = tuple(_what(a, b))
    return FileChange("C", path, what, _size(a), _size(b)) if what else None


def _size(version: Version | None) -> int:
    return version.size if version is not None and version.origin is None else 0


def _what(a: Version, b: Version) -> Iterator[str]:
    if a.kind != b.kind:
        yield "type"
        return
    if a.kind != DIR and (a.content, a.link, a.device) != (b.content, b.link, b.device):
        yield "content"
    if a.mode != b.mode and a.kind != SYMLINK:
        yield "mode"
    if (a.uid, a.gid) != (b.uid, b.gid):
        yield "owner"
    if a.xattrs != b.xattrs:
        yield "attributes"


class Folder(NamedTuple):
    """A folder and what files in it grew and shrank by, in bytes; how many of them differ."""

    path: bytes
    grown: int
    shrunk: int
    files: int


_DEPTH = 2  # names of a folder that differences are summed in


def folders(changes: Iterable[FileChange]) -> list[Folder]:
    """The differences of files by folder, the largest first; without those of equal size alone."""
    sums: dict[bytes, list[int]] = {}
    for each in changes:
        folder = b"/".join(each.path.split(b"/")[:-1][:_DEPTH])
        found = sums.setdefault(folder, [0, 0, 0])
        found[0 if each.after > each.before else 1] += abs(each.after - each.before)
        found[2] += 1
    made = (Folder(path, *found) for path, found in sums.items() if found[0] or found[1])
    return sorted(made, key=lambda each: (-each.grown - each.shrunk, each.path))
