"""What a path of an image leads to, told by no more of its layers than can tell it, topmost first.

A layer whose members stand where their names say (every folder of a name is there before it, no
name twice, a link after its file) says by itself what it has at a path; of those it is enough to
look at what lies above the file. Layers of another make need the merged tree. Pure; knows records,
no image and no tar.
"""

from collections.abc import Iterable
from typing import NamedTuple

from lamina.analyze.merged import Sparse, Version
from lamina.archive.entry import DIR, FILE, HARDLINK, SYMLINK
from lamina.archive.ground import follow
from lamina.archive.index import Record
from lamina.archive.whiteout import PREFIX, classify
from lamina.errors import PathNotFound, UsageError
from lamina.fs.inroot import shown


class Content(NamedTuple):
    """The body of a file: in which layer (the lowest is 0) and what it is. `size` in bytes."""

    layer: int
    size: int
    sparse: Sparse
    digest: bytes


class Unclear(Exception):
    """What was looked at does not tell: a lower layer is needed, or (`odd`) the merged tree."""

    def __init__(self, *, odd: bool = False) -> None:
        super().__init__("the layers seen do not tell")
        self.odd = odd


class _Seen:
    """One layer: its members by name, and what it takes from those below."""

    def __init__(self, records: Iterable[Record]) -> None:
        self.members: dict[bytes, Record] = {}
        self.gone: set[bytes] = set()
        self.odd = False
        awaited: set[bytes] = set()  # what links lead to that must lie below
        for record in records:
            folder = record.name.rpartition(b"/")[0]
            self.odd |= bool(folder) and not self._is_folder(folder)
            mark = classify(record.name) if PREFIX in record.name else None
            if mark is None:
                if record.kind == HARDLINK and record.link not in self.members:
                    awaited.add(record.link)
                self.odd |= record.name in self.members or record.name in awaited
                self.members[record.name] = record
            elif mark.what == "gone":
                self.gone.add(mark.folder + b"/" + mark.base if mark.folder else mark.base)
            elif mark.what == "opaque":
                self.gone.add(mark.folder + b"/")
        self.odd |= not self.gone.isdisjoint(self.members)

    def _is_folder(self, path: bytes) -> bool:
        member = self.members.get(path)
        return member is not None and member.kind == DIR

    def hides(self, path: bytes) -> bool:
        """Whether nothing of the layers below is seen at `path`, which this one has not."""
        if path in self.gone or b"/" in self.gone:
            return True
        folder = path.rpartition(b"/")[0]
        while folder:
            member = self.members.get(folder)
            taken = folder in self.gone or folder + b"/" in self.gone
            if taken or (member is not None and member.kind != DIR):
                return True
            folder = folder.rpartition(b"/")[0]
        return False


class Reach:
    """The layers of an image, as far as they were looked at, from the topmost down."""

    def __init__(self, layers: int) -> None:
        self._seen: list[_Seen] = []
        self._layers = layers

    @property
    def next(self) -> int:
        """The layer to be looked at next."""
        return self._layers - 1 - len(self._seen)

    def add(self, records: Iterable[Record]) -> None:
        """Look at one layer more; raises `BadArchive`."""
        self._seen.append(_Seen(records))

    def find(self, path: bytes) -> Content:
        """The file that `path` leads to, links followed inside the image.

        Raises `Unclear`, `PathNotFound`, `UsageError` for what is no file, `BadArchive`.
        """
        physical = follow(b"", path, self._link, lambda each: self._at(each) is None, set())
        found = self._file(physical)
        if physical and found is None:
            raise PathNotFound(f"no such path in the image: {shown(path)}")
        above, record = found or (0, None)
        return _content(path, self._layers - 1 - above, record)

    def _link(self, path: bytes) -> bytes | None:
        found = self._file(path)
        return found[1].link if found is not None and found[1].kind == SYMLINK else None

    def _file(self, path: bytes) -> tuple[int, Record] | None:
        """What is at a physical path; of a further name of a file, the file."""
        found = self._at(path)
        while found is not None and found[1].kind == HARDLINK:
            above, record = found
            found = self._at(record.link, above)  # earlier in the same layer, or below
            if found is None:  # the layer links to it and hides it: in which order?
                raise Unclear(odd=True)
        return found

    def _at(self, path: bytes, above: int = 0) -> tuple[int, Record] | None:
        """What layers show at a physical path, those from number `above` (from the top) on."""
        for number in range(above, len(self._seen)):
            seen = self._seen[number]
            if seen.odd:
                raise Unclear(odd=True)
            if path in seen.members:
                return number, seen.members[path]
            if seen.hides(path):
                return None
        if len(self._seen) < self._layers:
            raise Unclear
        return None


def _content(path: bytes, layer: int, found: Record | Version | None) -> Content:
    if found is None or found.kind == DIR:
        raise UsageError(f"{shown(path)} is a directory", hint="list it with `lamina ls`")
    if found.kind != FILE:
        raise UsageError(f"{shown(path)} is neither a file nor a directory")
    return Content(layer, found.size, found.sparse, found.digest)


def content_of(path: bytes, found: Version) -> Content:
    """The same of what the merged tree shows at a path; raises `UsageError`."""
    return _content(path, found.body.layer, found)
