"""What the builder's unit tests share: source trees and stage trees from lines of text."""

import io
import os
import signal
import tarfile
import threading
from collections.abc import Callable, Iterator

import pytest

from lamina.build import Builder, BuildRequest
from lamina.build.api import Command, Output
from lamina.build.cache import StoreCache
from lamina.build.cachemounts import StoreMounts
from lamina.build.sources import ChainTree, ContextTree
from lamina.build.stop import Stop
from lamina.content.directory import BlobStore
from lamina.drivers.catalog import entry
from lamina.errors import RuntimeFailure
from lamina.execution.run import Exit
from lamina.fs.tree import FlatTree
from lamina.images.store import ImageStore
from lamina.layers.store import LayerStore
from lamina.metadata.root import StoreRoot
from lamina.registry.hosts import Settings
from lamina.registry.transport import Transport
from lamina.spec.imageconfig import ImageConfig
from lamina.testing.trees import tar_of
from lamina.transfer.ends.stored import store_annotated
from lamina.values.events import Event, StepCached, StepDone, StepOutput, StepStarted, ignore
from lamina.values.ids import LayerID
from tests.serving import served
from tests.unit.build.servers import Repository, Server, repository_at


@pytest.fixture
def laid(tmp_path) -> Callable[[str, str], str]:
    """Lay a tree in the language of `lamina.testing.trees` into a directory; gives its path."""

    def lay(name: str, text: str) -> str:
        path = str(tmp_path / name)
        os.makedirs(path, exist_ok=True)
        with tarfile.open(fileobj=io.BytesIO(tar_of(text))) as archive:
            archive.extractall(path, filter="fully_trusted", numeric_owner=True)
        return path

    return lay


@pytest.fixture
def context(laid) -> Iterator[Callable[..., ContextTree]]:
    """A context tree over a directory that holds `text`."""
    opened = []

    def make(text: str, ignore=None) -> ContextTree:
        path = laid("context", text)
        tree = ContextTree(os.open(path, os.O_RDONLY | os.O_DIRECTORY), ignore)
        opened.append(tree)
        return tree

    yield make
    for tree in opened:
        tree.close()


@pytest.fixture
def stage(laid) -> Iterator[Callable[[str], FlatTree]]:
    """The tree of a stage that holds `text`."""
    opened = []

    def make(text: str, name: str = "stage") -> FlatTree:
        tree = FlatTree(os.open(laid(name, text), os.O_RDONLY | os.O_DIRECTORY))
        opened.append(tree)
        return tree

    yield make
    for tree in opened:
        tree.close()


@pytest.fixture
def earlier(laid) -> Iterator[Callable[[str], ChainTree]]:
    """An earlier stage to copy from."""
    opened = []

    def make(text: str) -> ChainTree:
        descriptor = os.open(laid("earlier", text), os.O_RDONLY | os.O_DIRECTORY)
        tree = ChainTree(lambda: FlatTree(descriptor), "stage build")
        opened.append(tree)
        return tree

    yield make
    for tree in opened:
        tree.close()


class ToyRunner:
    """Carries out RUN lines of a toy language on the read-write layer, without a container.

    put PATH TEXT | rm PATH | say TEXT | show NAME | fail N | raise | nothing
    meet (another command that meets) | hang (until it is stopped) | interrupt (the main thread)
    """

    def __init__(self, layers: LayerStore) -> None:
        self._layers = layers
        self.commands: list[Command] = []
        self.cut: list[bool] = []
        self._meeting = threading.Barrier(2, timeout=30)

    def run(self, layer: LayerID, command: Command, output: Output, stop: Stop) -> Exit:
        self.commands.append(command)
        root = self._layers.driver.writable_root(layer)
        status = 0
        for line in command.argv[-1].split(";"):
            word, _, rest = line.strip().partition(" ")
            path, _, text = rest.partition(" ")
            if word == "put":
                with open(root + path, "w") as file:
                    file.write(text)
            elif word == "rm":
                os.unlink(root + path)
            elif word == "say":
                output(1, rest.encode() + b"\n")
            elif word == "show":
                values = dict(item.split("=", 1) for item in command.env)
                output(2, f"{path}={values.get(path)}\n".encode())
            elif word == "fail":
                status = int(path)
            elif word == "raise":
                raise RuntimeFailure("the runtime broke")
            elif word == "meet":
                self._meeting.wait()
            elif word == "interrupt":
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            elif word == "hang":
                ended = threading.Event()
                with stop.cutting(ended.set):
                    self.cut.append(ended.wait(30))
                status = 137
        return Exit(status)

    def shell(self, layer, command, stdio, *, tty):
        """There is nothing to be started."""
        raise RuntimeFailure("a toy has no shell")

    @property
    def count(self) -> int:
        """How many commands were carried out so far."""
        return len(self.commands)


class Rig:
    """A store, a context directory and a builder with a clock of its own."""

    def __init__(self, path: str, storage: str = "vfs") -> None:
        self.context = os.path.join(path, "context")
        os.makedirs(self.context, exist_ok=True)
        self.root = StoreRoot.open(os.path.join(path, "store"))
        made = entry(storage)
        self.layers = LayerStore(
            self.root, lambda: made.make(self.root.folder(made.home), self.root.folder("run"))
        )
        blobs = BlobStore(self.root.folder("blobs"), self.root.folder("staging"))
        self.images = ImageStore(self.root, blobs, self.layers)
        self.runner = ToyRunner(self.layers)
        self.now = 1_700_000_000.0
        self.builder = Builder(
            self.layers,
            self.images,
            StoreCache(self.root),
            lambda: self.runner,
            lambda: StoreMounts(self.layers),
            ask=self.ask,
            annotate=self.annotate,
            clock=self.tick,
        )
        self.events: list[Event] = []

    def tick(self) -> float:
        self.now += 1
        return self.now

    def annotate(self, config, names, annotations):
        """As the engine does."""
        return store_annotated(config, names, annotations, self.images, self.layers, ignore)

    def ask(self, url, headers):
        """GET by the real transport."""
        return Transport(Settings(), "test").ask("GET", url, headers)

    def write(self, **files: str) -> None:
        """Write files into the context; `__` in a name stands for a slash, `_` for a dot."""
        for name, text in files.items():
            path = os.path.join(self.context, name.replace("__", "/").replace("_", "."))
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w") as file:
                file.write(text)

    def build(self, text: str, **wishes: object) -> ImageConfig:
        """Build and give the image's config; `events` holds what was said meanwhile."""
        self.events = []
        wishes.setdefault("context", self.context)
        request = BuildRequest(dockerfile_text=text.encode(), **wishes)  # type: ignore[arg-type]
        self.result = self.builder.build(request, self.events.append)
        return self.images.config(self.result.image_id)

    def cached(self) -> list[bool]:
        """For each step that was looked up, whether it was there."""
        found = []
        for event in sorted(self._ended(), key=lambda event: event.step):
            if isinstance(event, StepCached):
                found.append(True)
            elif event.missed and event.step in self._steps():
                found.append(False)
        return found

    def _ended(self) -> list[StepDone | StepCached]:
        return [event for event in self.events if isinstance(event, StepDone | StepCached)]

    def _steps(self) -> set[int]:
        kinds = ("RUN", "COPY", "ADD", "WORKDIR")
        started = [event for event in self.events if isinstance(event, StepStarted)]
        return {event.step for event in started if event.text.startswith(kinds)}

    def missed(self) -> str:
        """Why the last step that was carried out missed the cache."""
        return [event.missed for event in self.events if isinstance(event, StepDone)][-1]

    def output(self) -> str:
        """What the commands wrote."""
        data = [event.data for event in self.events if isinstance(event, StepOutput)]
        return b"".join(data).decode()

    def tree(self, config: ImageConfig) -> dict[str, str]:
        """The image's regular files with their texts, links with `->`, directories with `/`."""
        if config.top_chain is None:
            return {}
        path = self.layers.driver.location(self.layers.resolve(config.top_chain))
        found = {}
        for folder, folders, files in os.walk(path):
            for name in [*folders, *files]:
                full = os.path.join(folder, name)
                found[os.path.relpath(full, path)] = _content(full)
        return found

    def close(self) -> None:
        self.layers.close()
        self.root.close()


def _content(path: str) -> str:
    if os.path.islink(path):
        return f"-> {os.readlink(path)}"
    if os.path.isdir(path):
        return "/"
    with open(path, errors="replace") as file:
        return file.read()


@pytest.fixture
def rig(tmp_path, needs_root) -> Iterator[Rig]:
    made = Rig(str(tmp_path / "first"))
    yield made
    made.close()


@pytest.fixture
def other_rig(tmp_path, needs_root) -> Iterator[Rig]:
    """Another store, with another context directory."""
    made = Rig(str(tmp_path / "second"))
    yield made
    made.close()


@pytest.fixture
def rig_on(tmp_path, needs_root) -> Iterator[Callable[[str], Rig]]:
    """A store on a driver of the catalogue."""
    made = []

    def make(storage: str) -> Rig:
        made.append(Rig(str(tmp_path / storage), storage))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def server() -> Iterator[Server]:
    """A server of files by path."""
    made = Server()
    with served(made):
        yield made


@pytest.fixture
def repository(tmp_path, needs_program) -> Iterator[Repository]:
    """A git repository, served."""
    with repository_at(tmp_path, needs_program("git")) as made:
        yield made
