"""Which packages an image has: where package managers keep their files, and how those are read."""

import os
from collections.abc import Callable, Iterator

from lamina.analyze import packages
from lamina.analyze.merged import MergedTree, Node
from lamina.analyze.packages import Package
from lamina.fs.tree import TreeView
from lamina.layers.store import LayerStore
from lamina.values.digest import ChainID

_DPKG = b"var/lib/dpkg/status"
_DISTROLESS = b"var/lib/dpkg/status.d"
_APK = (b"lib/apk/db/installed", b"usr/lib/apk/db/installed")
_RPM = (b"var/lib/rpm/rpmdb.sqlite", b"usr/lib/sysimage/rpm/rpmdb.sqlite")
_INFO = (b".dist-info", b".egg-info")
_RELEASE = (b"etc/os-release", b"usr/lib/os-release")  # the one is mostly a link to the other
_DATABASES = frozenset((_DPKG, *_APK, *_RPM, *_RELEASE))
_NOTHING = b""
Read = Callable[[Node], bytes]
"""Gives a file's bytes; none where it cannot be read."""


def is_database(name: bytes) -> bool:
    """Whether a member of that name may be what `told` or `release` reads."""
    return name in _DATABASES or name.startswith(_DISTROLESS + b"/")


def installed(store: LayerStore, chain: ChainID | None, tree: MergedTree) -> tuple[Package, ...]:
    """The packages of a chain of the store, `tree` being what it shows."""
    if chain is None:
        return ()
    view = store.view(chain)
    try:
        return told(tree, lambda node: _from_disk(view, node))
    finally:
        view.close()


def released(store: LayerStore, chain: ChainID | None, tree: MergedTree) -> bytes:
    """The os-release file of a chain of the store, `tree` being what it shows."""
    if chain is None:
        return _NOTHING
    view = store.view(chain)
    try:
        return release(tree, lambda node: _from_disk(view, node))
    finally:
        view.close()


def release(tree: MergedTree, read: Read) -> bytes:
    """What os-release holds, which says whose packages these are; none where there is none."""
    return next((found for path in _RELEASE if (found := _bounded(tree, read, path))), _NOTHING)


def _from_disk(view: TreeView, node: Node) -> bytes:
    try:
        descriptor = view.open(node.path)
    except OSError:
        return _NOTHING
    with os.fdopen(descriptor, "rb") as file:
        return file.read(packages.LIMIT)


def told(tree: MergedTree, read: Read) -> tuple[Package, ...]:
    """The packages that the databases of a tree tell."""
    return tuple(_told(tree, read))


def _told(tree: MergedTree, read: Read) -> Iterator[Package]:
    yield from packages.from_dpkg(_bounded(tree, read, _DPKG))
    folder = tree.resolve(_DISTROLESS)
    for node in folder.visible() if folder is not None else ():
        yield from packages.from_dpkg(_bounded(tree, read, node.path))
    for path in _APK[:1] if tree.resolve(_APK[0]) is not None else _APK[1:]:
        yield from packages.from_apk(_bounded(tree, read, path))
    for path in _RPM[:1] if tree.resolve(_RPM[0]) is not None else _RPM[1:]:
        yield from packages.from_rpm(_bounded(tree, read, path))
    yield from packages.from_python(_distributions(tree))


def _distributions(tree: MergedTree) -> Iterator[bytes]:
    for _, node in tree.nodes():
        if node.name.endswith(_INFO) and node.now is not None:
            yield node.name


def _bounded(tree: MergedTree, read: Read, path: bytes) -> bytes:
    """A file's bytes; none where there is none, or it is larger than any should be."""
    node = tree.resolve(path)
    if node is None or node.now is None or not 0 < node.now.size <= packages.LIMIT:
        return _NOTHING
    return read(node)
