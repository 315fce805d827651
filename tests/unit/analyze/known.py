"""Images of known waste: acts on a tree, with an account that knows no tar, index or whiteout.

A body is a number; the account says which layer wrote it and which names it has. When its last
name goes, the layer that took it and the manner are noted. `tar_of` gives the layers' tars.
"""

import io
import random
import tarfile
from collections import Counter

FOLDERS = ("a", "b", "a/deep", "opt/app")


class Known:
    """One image: its layers as lists of members, and what each act cost."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.names = {}  # path -> body
        self.bodies = {}  # body -> (layer, content, mode)
        self.lost = Counter()  # (layer, by, manner) -> bytes
        self.stored = Counter()  # layer -> bytes
        self.tars = []
        for number in range(self.random.randint(2, 6)):
            self._layer(number)

    def _layer(self, number):
        self.number = number
        self.members = []
        self.touched = set()
        self.worn = set()  # bodies that lost a name here: two manners in one layer have no order
        for _ in range(self.random.randint(1, 8)):
            acts = [Known._write] if number == 0 or not self.names else ACTS
            self.random.choice(acts)(self)
        self.tars.append(_tar(self.members))

    def _path(self):
        return f"{self.random.choice(FOLDERS)}/{self.random.choice('xyz')}"

    def _old(self):
        """A file of a lower layer that this one has not touched."""
        old = [path for path in sorted(self.names) if path not in self.touched]
        old = [path for path in old if self.names[path] not in self.worn]
        return self.random.choice(old) if old else None

    def _single(self):
        """One that has no other name: with several, more than one manner would be right."""
        path = self._old()
        names = list(self.names.values())
        return path if path is not None and names.count(self.names[path]) == 1 else None

    def _store(self, path, content, mode=0o644):
        body = len(self.bodies)
        self.bodies[body] = (self.number, content, mode)
        self.stored[self.number] += len(content)
        self.names[path] = body
        self.members.append(("f", path, content, mode))
        self.touched.add(path)

    def _drop(self, path, manner):
        """A name goes; the body with it, if it was the last."""
        body = self.names.pop(path)
        self.worn.add(body)
        if body not in self.names.values():
            layer, content, _ = self.bodies[body]
            self.lost[layer, self.number, manner] += len(content)

    def _write(self):
        path = self._path()
        if path in self.touched or self.names.get(path) in self.worn:
            return
        if path in self.names:
            self._drop(path, "overwritten")
        self._store(path, self.random.randbytes(self.random.randint(1, 900)))

    def _delete(self):
        path = self._old()
        if path is not None:
            self._drop(path, "deleted")
            self.members.append(("w", path))
            self.touched.add(path)

    def _delete_folder(self):
        """A whole directory by one whiteout, when this layer has put nothing into it."""
        folder = self.random.choice(FOLDERS)
        inside = [path for path in sorted(self.names) if path.startswith(folder + "/")]
        if any(self.names[path] in self.worn for path in inside):
            return
        if inside and not any(path.startswith(folder + "/") for path in self.touched):
            for path in inside:
                self._drop(path, "deleted")
            self.members.append(("w", folder))
            self.touched.update(f"{each}/{x}" for each in (folder, f"{folder}/deep") for x in "xyz")

    def _chmod(self):
        path = self._single()
        if path is not None:
            _, content, mode = self.bodies[self.names[path]]
            self._drop(path, "attributes")
            self._store(path, content, mode ^ 0o100)

    def _move(self):
        path = self._single()
        if path is not None:
            to = f"moved/{self.number}.{len(self.bodies)}"
            content = self.bodies[self.names[path]][1]
            self._drop(path, "moved")
            self.members.append(("w", path))
            self.touched.add(path)
            self._store(to, content)

    def _link(self):
        path = self._old()
        if path is not None:
            to = f"linked/{self.number}.{len(self.members)}"
            self.names[to] = self.names[path]
            self.members.append(("h", to, path))
            self.touched.update((to, path))


ACTS = [
    Known._write,
    Known._write,
    Known._delete,
    Known._delete_folder,
    Known._chmod,
    Known._move,
    Known._link,
]


def _tar(members):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for kind, path, *rest in members:
            info = tarfile.TarInfo(path)
            body = b""
            if kind == "w":
                folder, _, name = path.rpartition("/")
                info.name = f"{folder}/.wh.{name}" if folder else f".wh.{name}"
            elif kind == "h":
                info.type, info.linkname = tarfile.LNKTYPE, rest[0]
            else:
                body, info.mode = rest
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
    return out.getvalue()


def dive(tars):
    """dive's efficiency, by its published definition, over tars as they are.

    For each path: the least of its sizes, and their sum, over every layer in which it is a leaf
    or a whiteout; a whiteout of a directory is as large as what it hides if a member named that.
    The sums' ratio.
    """
    stacked, sizes = {}, {}
    for tar in tars:
        tree = {}
        with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
            for info in archive:
                tree[info.name] = info.size
        hidden = {}
        for name, size in tree.items():
            folder, _, base = name.rpartition("/")
            path = name
            if base.startswith(".wh."):
                path = f"{folder}/{base[4:]}" if folder else base[4:]
                inside = path + "/"
                held = sum(each for at, each in stacked.items() if at.startswith(inside))
                size = held if path in stacked else 0
                hidden[path] = inside
            sizes.setdefault(path, []).append(size)
        for path, inside in hidden.items():
            stacked = {
                at: size for at, size in stacked.items() if at != path and not at.startswith(inside)
            }
        stacked.update({n: s for n, s in tree.items() if ".wh." not in n})
    total = sum(map(sum, sizes.values()))
    return sum(map(min, sizes.values())) / total if total else 1.0
