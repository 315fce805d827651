"""The five steps. Each runs `lamina` for real and holds it to what it promises."""

import hashlib
import json
import os
import stat

from demo import props
from demo.stage import CHECKOUT, Failure, Stage

_CONTEXTS = os.path.join(CHECKOUT, "demo")
_PAIR = ("demo/nginx", "demo/python")
_EXAMPLE = "sed -i 's#xxx#yyy#' /File1; rm -f /File2; echo 123 > /File4"


class Story:
    """The steps over one store; what an early step found out, later ones use."""

    def __init__(self, stage: Stage, root: str, driver: str) -> None:
        self._stage = stage
        self._root = root
        self._driver = driver
        self._union = driver == "overlay2"

    def base(self, archive: str) -> None:
        """Step 1: a root filesystem becomes an image of one layer."""
        stage = self._stage
        stage.heading(1, "A root filesystem becomes a base image")
        stage.tell(f"The archive: {archive} ({os.path.getsize(archive) / 1e6:.0f} MB)")
        props.place(archive, os.path.join(_CONTEXTS, "base", "rootfs.tar.gz"))
        stage.run(["cat", "demo/base/Dockerfile"])
        stage.build("-t", "demo/base", "demo/base")
        stage.lamina("images", "demo/base")

    def images(self) -> None:
        """Step 2: two images whose second step is the same."""
        stage = self._stage
        stage.heading(2, "Two images on that base, with the same second step")
        for name in ("nginx", "python"):
            stage.run(["cat", f"demo/{name}/Dockerfile"])
        stage.build("-t", "demo/nginx", "demo/nginx")
        stage.tell("The second build finds its second step done: the layer is shared.")
        stage.build("-t", "demo/python", "demo/python")

    def strata(self) -> None:
        """Step 3: six layers asked for, four stored, seen in the images and on the disk."""
        stage = self._stage
        stage.heading(3, "Six layers asked for, four stored")
        stage.lamina("tree", *_PAIR)
        told = json.loads(stage.ask("tree", "--format", "json", *_PAIR))
        asked, stored = told["LayersAsked"], told["LayersStored"]
        _expect((asked, stored) == (6, 4), f"{asked} layers were asked for and {stored} stored")
        if self._union:
            self._overlay_folder()
        else:
            self._plain_folders()

    def containers(self) -> None:
        """Step 4: the software runs; the textbook's three files, changed in a container."""
        stage = self._stage
        stage.heading(4, "Containers: a read-write layer over the image")
        stage.lamina("run", "--rm", "demo/nginx", "nginx", "-v")
        stage.lamina("run", "--rm", "demo/python", "python3", "--version")
        stage.tell("The textbook's example: File 1 is changed, File 2 deleted, File 4 added.")
        stage.try_quietly("rm", "-f", "demo-files")
        stage.build("-q", "-t", "demo/files", "demo/files")
        before = self._lower_file()
        stage.lamina("run", "--name", "demo-files", "demo/files", "sh", "-c", _EXAMPLE)
        changes = stage.lamina("diff", "demo-files").split("\n")
        wanted = {"C /File1", "D /File2", "A /File4"}
        _expect({line for line in changes if line} == wanted, f"the diff is {changes}")
        if self._union:
            self._upper_folder()
        after = self._lower_file()
        _expect(before == after, "the image's own File1 was touched")
        stage.tell(f"The image's File1 is what it was: {after}")
        self._commit()

    def mistake(self) -> None:
        """Step 5: a layer cannot take back what a layer below has stored."""
        stage = self._stage
        stage.heading(5, "The classic mistake, and its repair")
        folders = [os.path.join(_CONTEXTS, name) for name in ("mistake", "repaired")]
        props.place(props.large_archive(), *(os.path.join(one, "app.tar.gz") for one in folders))
        for name in ("mistake", "repaired"):
            stage.run(["cat", f"demo/{name}/Dockerfile"])
            stage.build("-t", f"demo/{name}", f"demo/{name}")
        stage.lamina("history", "demo/mistake")
        sizes = {name: self._size(name) for name in ("demo/base", "demo/mistake", "demo/repaired")}
        for name, size in sizes.items():
            stage.show(f"  {name:<14} {size / 1e6:7.1f} MB")
        saved = sizes["demo/mistake"] - sizes["demo/repaired"]
        _expect(saved > 190e6, f"the repair saves {saved / 1e6:.0f} MB only")
        stage.tell(f"The archive was deleted and still costs {saved / 1e6:.0f} MB.")
        self._waste(os.path.getsize(os.path.join(folders[0], "app.tar.gz")))

    def _waste(self, archive: int) -> None:
        """Who wastes the bytes, and how to repair it: told by the layers' indexes alone."""
        dockerfile = "demo/mistake/Dockerfile"
        self._stage.lamina("waste", "--file", dockerfile, "demo/mistake")
        told = json.loads(self._stage.ask("waste", "--json", "demo/mistake"))
        found = [each["Size"] for each in told["Findings"] if each["Kind"] == "deleted"]
        _expect(archive in found, f"the archive has {archive} bytes, the findings {found}")
        wasted = told["Wasted"]
        told = json.loads(self._stage.ask("waste", "--json", "demo/repaired"))
        base = json.loads(self._stage.ask("waste", "--json", "demo/base"))
        _expect(told["Wasted"] == base["Wasted"], "the repaired image wastes bytes of its own")
        self._stage.tell(f"Wasted: {wasted:,} bytes; in the repaired image {told['Wasted']:,}.")

    def _layers(self, name: str) -> list[str]:
        """The diff IDs of an image, base first."""
        layers: list[str] = json.loads(
            self._stage.ask("inspect", "--format", "{{json .RootFS.Layers}}", name)
        )
        return layers

    def _size(self, name: str) -> int:
        return int(self._stage.ask("inspect", "--format", "{{.Size}}", name))

    def _data(self, name: str, key: str) -> str:
        """One row of docker's GraphDriver.Data, such as UpperDir."""
        template = "{{index .GraphDriver.Data " + f'"{key}"' + "}}"
        return self._stage.ask("inspect", "--format", template, name)

    def _folders(self, name: str) -> list[str]:
        """The layer directories of an image on overlay2, the base first."""
        lowers = self._data(name, "LowerDir").split(":")
        diffs = [self._data(name, "UpperDir"), *(lower for lower in lowers if lower)]
        return [os.path.dirname(path) for path in reversed(diffs)]

    def _overlay_folder(self) -> None:
        """docker's overlay2 layout: the same names, the same modes."""
        stage = self._stage
        home = os.path.join(self._root, "overlay2")
        stage.tell("The driver's directory, in the store, is laid out as docker's overlay2 is:")
        self._list("overlay2")
        used = {path for name in _PAIR for path in self._folders(name)}
        _expect(len(used) == 4, f"the two images use {len(used)} layer directories")
        base, shared, own = self._folders("demo/nginx")
        stage.tell("The base has nothing below it:")
        self._list(os.path.relpath(base, self._root))
        stage.tell("nginx's own layer names the two below it, the nearest first:")
        self._list(os.path.relpath(own, self._root))
        lower = os.path.relpath(os.path.join(own, "lower"), self._root)
        stage.run(["cat", lower], cwd=self._root)
        self._list("overlay2/l")
        _expect_modes(home, base, shared)

    def _plain_folders(self) -> None:
        """vfs: each layer is a full tree; sharing saves layers, not copies."""
        self._stage.tell(
            "Here each layer is a whole tree. Layers are shared all the same; `l`, `link`,\n"
            "`lower` and `work` exist with overlay2 only."
        )
        self._list("vfs/dir")
        self._stage.run(["du", "-sh", "vfs/dir"], cwd=self._root)
        stored = os.listdir(os.path.join(self._root, "vfs", "dir"))
        _expect(len(stored) >= 4, f"{len(stored)} layers are stored")

    def _list(self, path: str) -> None:
        """`ls -l` of a path within the store."""
        self._stage.run(["ls", "-l", path], cwd=self._root)

    def _lower_file(self) -> str:
        """File1 as the image's layer has it: its inode and the digest of its bytes."""
        if self._union:
            path = os.path.join(self._data("demo/files", "UpperDir"), "File1")
        else:
            path = os.path.join(self._data("demo/files", "SourceDir"), "File1")
        with open(path, "rb") as file:
            digest = hashlib.sha256(file.read()).hexdigest()
            return f"inode {os.fstat(file.fileno()).st_ino}, sha256 {digest[:16]}"

    def _upper_folder(self) -> None:
        """The container's upper directory: a copy-up, a whiteout and a new file."""
        template = "{{.GraphDriver.Data.UpperDir}}"
        upper = self._stage.lamina("inspect", "--format", template, "demo-files").strip()
        self._stage.tell("Its upper directory: File1 copied up, File2 a whiteout (c 0,0), File4.")
        self._list(os.path.relpath(upper, self._root))
        whiteout = os.lstat(os.path.join(upper, "File2"))
        _expect(
            stat.S_ISCHR(whiteout.st_mode) and whiteout.st_rdev == 0, "File2 is no whiteout in it"
        )
        with open(os.path.join(upper, "File1"), encoding="ascii") as copied:
            _expect("yyy" in copied.read(), "File1 was not copied up")

    def _commit(self) -> None:
        """The change becomes a layer of a new image."""
        stage = self._stage
        stage.tell("Committed, the change is a layer like any other.")
        stage.try_quietly("rmi", "-f", "demo/changed")
        stage.lamina("commit", "demo-files", "demo/changed")
        stage.lamina("history", "demo/changed")
        _expect(len(self._layers("demo/changed")) == 3, "the commit did not add one layer")
        told = stage.lamina("run", "--rm", "demo/changed", "cat", "/File1", "/File4")
        _expect(told == "File 1: yyy\n123\n", f"the committed image holds {told!r}")


def _expect(held: bool, otherwise: str) -> None:
    """Hold the demo to its word."""
    if not held:
        raise Failure(otherwise)


def _expect_modes(home: str, base: str, shared: str) -> None:
    """docker's names and permissions below overlay2."""
    wanted = {
        home: 0o710,
        os.path.join(home, "l"): 0o700,
        os.path.join(home, "backingFsBlockDev"): 0o600,
        base: 0o710,
        os.path.join(base, "diff"): 0o755,
        os.path.join(base, "link"): 0o644,
        shared: 0o710,
        os.path.join(shared, "lower"): 0o644,
        os.path.join(shared, "work"): 0o700,
    }
    for path, mode in wanted.items():
        found = stat.S_IMODE(os.lstat(path).st_mode)
        _expect(found == mode, f"{path} has mode {found:04o}, not {mode:04o}")
    _expect(not os.path.exists(os.path.join(base, "lower")), "the base has a `lower` file")
