"""What a directory of an image holds, by its merged tree, as stat(2) would tell it. Pure."""

import stat
from collections import Counter
from typing import NamedTuple

from lamina.analyze.merged import MergedTree, Node
from lamina.archive.entry import BLOCK, CHAR, DIR, FIFO, FILE, SYMLINK
from lamina.errors import PathNotFound
from lamina.fs.inroot import shown

_KINDS = {
    FILE: stat.S_IFREG,
    DIR: stat.S_IFDIR,
    SYMLINK: stat.S_IFLNK,
    CHAR: stat.S_IFCHR,
    BLOCK: stat.S_IFBLK,
    FIFO: stat.S_IFIFO,
}


class FileFacts(NamedTuple):
    """One file: its path from the root; mode with its type, as in stat(2); `size` in bytes.

    `link` is a symbolic link's target, `device` the numbers of a device. A directory has no size
    and one name, whatever the driver's file system says.
    """

    path: bytes
    mode: int
    uid: int
    gid: int
    size: int
    mtime_ns: int
    names: int
    link: bytes
    device: tuple[int, int] | None


def listing(tree: MergedTree, path: bytes) -> tuple[FileFacts, ...]:
    """What is in a directory, sorted by name; of anything else, the facts of that alone.

    Raises `PathNotFound`, or `BadArchive` for links without an end.
    """
    node = tree.resolve(path)
    if node is None or node.now is None or node.now.kind != DIR:
        node = tree.resolve(path, follow_last=False)
    if node is None or node.now is None:
        raise PathNotFound(f"no such path in the image: {shown(path)}")
    found = list(node.visible()) if node.now.kind == DIR else [node]
    names = _names(tree) if any(each.now and each.now.kind != DIR for each in found) else Counter()
    return tuple(_facts(each, names) for each in found)


def _names(tree: MergedTree) -> Counter[int]:
    """How many names each file has that are seen."""
    seen = (node.now for _, node in tree.nodes() if node.now is not None)
    return Counter(id(now.body) for now in seen if now.kind != DIR)


def _facts(node: Node, names: Counter[int]) -> FileFacts:
    now = node.now
    assert now is not None
    is_link = now.kind == SYMLINK
    return FileFacts(
        node.path,
        _KINDS[now.kind] | (0o777 if is_link else now.mode),
        now.uid,
        now.gid,
        len(now.link) if is_link else now.size,
        now.mtime_ns,
        1 if now.kind == DIR else names[id(now.body)],
        now.link if is_link else b"",
        (now.device or (0, 0)) if now.kind in (CHAR, BLOCK) else None,
    )
