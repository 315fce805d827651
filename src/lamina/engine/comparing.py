"""Two images beside each other: documents, indexes and what their package managers wrote."""

import os
from collections.abc import Iterator, Sequence

from lamina.analyze import compare, packages
from lamina.analyze.compare import Comparison
from lamina.analyze.merged import MergedTree
from lamina.analyze.packages import Package
from lamina.engine.parts import Parts
from lamina.fs.tree import TreeView
from lamina.layers.layer import Layer
from lamina.values.digest import ImageID

_DPKG = b"var/lib/dpkg/status"
_DISTROLESS = b"var/lib/dpkg/status.d"
_APK = (b"lib/apk/db/installed", b"usr/lib/apk/db/installed")
_RPM = (b"var/lib/rpm/rpmdb.sqlite", b"usr/lib/sysimage/rpm/rpmdb.sqlite")
_INFO = (b".dist-info", b".egg-info")
_CHUNK = 1 << 20


class Side:
    """One of the two images."""

    def __init__(
        self, parts: Parts, image: ImageID, layers: Sequence[Layer], tree: MergedTree
    ) -> None:
        self.config = parts.image_store.config(image)
        self.layers = tuple(layer.diff_id for layer in layers)
        self.tree = tree
        self.packages: tuple[Package, ...] = ()
        if layers:
            view = parts.layers.view(layers[-1].chain_id)
            try:
                self.packages = tuple(_packages(self.tree, view))
            finally:
                view.close()


def compared(one: Side, other: Side) -> Comparison:
    """What differs, `one` being the image before."""
    common = compare.common_layers(one.layers, other.layers)
    return Comparison(
        compare.settings(one.config, other.config),
        common,
        one.layers[common:],
        other.layers[common:],
        compare.packages(one.packages, other.packages),
        compare.files(one.tree, other.tree),
    )


def _packages(tree: MergedTree, view: TreeView) -> Iterator[Package]:
    yield from packages.from_dpkg(_read(tree, view, _DPKG))
    folder = tree.resolve(_DISTROLESS)
    for node in folder.visible() if folder is not None else ():
        yield from packages.from_dpkg(_read(tree, view, node.path))
    for path in _APK[:1] if tree.resolve(_APK[0]) is not None else _APK[1:]:
        yield from packages.from_apk(_read(tree, view, path))
    for path in _RPM[:1] if tree.resolve(_RPM[0]) is not None else _RPM[1:]:
        yield from packages.from_rpm(_read(tree, view, path))
    yield from packages.from_python(_distributions(tree))


def _distributions(tree: MergedTree) -> Iterator[bytes]:
    for _, node in tree.nodes():
        if node.name.endswith(_INFO) and node.now is not None:
            yield node.name


def _read(tree: MergedTree, view: TreeView, path: bytes) -> bytes:
    """A file's bytes; none where it is no file, cannot be read, or is larger than any should be."""
    node = tree.resolve(path)
    if node is None or node.now is None or not 0 < node.now.size <= packages.LIMIT:
        return b""
    try:
        descriptor = view.open(node.path)
    except OSError:
        return b""
    with os.fdopen(descriptor, "rb") as file:
        return file.read(packages.LIMIT)
