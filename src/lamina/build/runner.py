"""RUN: one command over a read-write layer, its output passed on as it comes.

The same act as `lamina run`, by way of `lamina.execution`. Knows no cache, key or Dockerfile.
"""

import os
import select
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from lamina.build.api import Command, LayerMount, Output
from lamina.build.stop import Stop
from lamina.drivers.api import Driver
from lamina.execution.extras import Extra, Tree
from lamina.fs.mounting import MountPlan
from lamina.fs.tree import TreeView
from lamina.runtime.isolation import Isolation
from lamina.runtime.process import Process, Volume
from lamina.values.ids import LayerID

if TYPE_CHECKING:
    from lamina.build.surroundings import Surroundings
    from lamina.execution.run import Exit, Job, Running
    from lamina.execution.spawned import Stdio

HOSTNAME = "buildkitsandbox"  # what BuildKit calls it; some Dockerfiles have come to rely on it
_SHELL = ("/bin/sh",)
_CHUNK = 1 << 16
_PIPE_FULL = 16  # readings that empty any pipe: 1 MiB, fs.pipe-max-size
_STDOUT, _STDERR = 1, 2


class MountedLayers(Protocol):
    """What of a layer store a command needs."""

    @property
    def driver(self) -> Driver:
        """The driver that keeps the layers."""

    def mounts(self, layer: LayerID, *, writable: bool) -> MountPlan:
        """How to mount a layer with all below it."""

    def view(self, target: LayerID) -> TreeView:
        """The merged tree of a layer."""


class LayerRunner:
    """Runs commands over the layers of a store; `run_dir` is where their bundles go meanwhile."""

    def __init__(self, layers: MountedLayers, isolation: Isolation, run_dir: str) -> None:
        self._layers = layers
        self._isolation = isolation
        self._run_dir = run_dir

    def run(self, layer: LayerID, command: Command, output: Output, stop: Stop) -> "Exit":
        """Run `command` and give its exit status; raises `RuntimeFailure` when it cannot start.

        `output` is called from another thread, never twice at once, and not after the end. A `stop`
        kills the command, and so does an error of `output`, which is raised then.
        """
        from lamina.execution.run import start  # a cached build starts nothing

        job = self._job(layer, command)
        with _Pump(output) as pump:
            running = start(job, self._isolation, pump.stdio)
            try:
                pump.started()
                with stop.cutting(running.kill), pump.cutting(running.kill):
                    return running.wait()
            finally:  # a Ctrl-C may come before the waiting begins
                running.kill()
                running.wait()

    @contextmanager
    def shell(
        self, layer: LayerID, command: Command, stdio: "Stdio", *, tty: bool
    ) -> Iterator["Running"]:
        """A shell in the command's place, ended with the block; raises `RuntimeFailure`."""
        from lamina.execution.run import start

        job = self._job(layer, command._replace(argv=_SHELL), tty=tty)
        running = start(job, self._isolation, stdio)
        try:
            yield running
        finally:
            running.kill()
            running.wait()

    def _job(self, layer: LayerID, command: Command, *, tty: bool = False) -> "Job":
        from lamina.execution.run import Job

        process = Process(
            args=command.argv,
            env=command.env,
            cwd=command.cwd,
            user=command.user,
            hostname=HOSTNAME,
            network=command.network,
            volumes=tuple(each for each in command.mounts if isinstance(each, Volume)),
            privileged=command.insecure,
            tty=tty,
        )
        if command.surroundings is not None:
            process = _within(process, command.surroundings)
        return Job(
            container_id=os.urandom(32).hex(),
            plan=self._layers.mounts(layer, writable=True),
            process=process,
            run_dir=self._run_dir,
            upper=self._layers.driver.writable_root(layer),
            open_view=lambda: self._layers.view(layer),
            extras=self._extras(command),
            confidential=command.confidential,
        )

    def _extras(self, command: Command) -> tuple[Extra, ...]:
        return tuple(
            self._tree(each) if isinstance(each, LayerMount) else each
            for each in command.mounts
            if not isinstance(each, Volume)
        )

    def _tree(self, mount: LayerMount) -> Tree:
        plan = self._layers.mounts(mount.layer, writable=mount.writable)
        return Tree(plan, mount.path, mount.is_directory, mount.target, mount.readonly)


def _within(process: Process, around: "Surroundings") -> Process:
    return process._replace(
        limits=around.limits,
        naming=around.naming,
        confinement=around.confinement,
        group_parent=around.group_parent,
    )


class _Pump:
    """Two pipes whose reading ends are passed on by a thread of their own."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._readers: dict[int, int] = {}
        self._writers = []
        for stream in (_STDOUT, _STDERR):
            reader, writer = os.pipe2(os.O_CLOEXEC)
            self._readers[reader] = stream
            self._writers.append(writer)
        self._stop, self._stopper = os.pipe2(os.O_CLOEXEC)
        self._thread = threading.Thread(target=self._pass_on, name="lamina-output", daemon=True)
        self._error: BaseException | None = None
        self._cut: Callable[[], None] | None = None

    @property
    def stdio(self) -> "Stdio":
        """The command's three descriptors."""
        from lamina.execution.spawned import Stdio

        return Stdio(None, self._writers[0], self._writers[1])

    def started(self) -> None:
        """The command has its own copies of the writing ends; ours would keep the pipes open."""
        for writer in self._writers:
            os.close(writer)
        self._writers.clear()

    @contextmanager
    def cutting(self, cut: Callable[[], None]) -> Iterator[None]:
        """Let `cut` be called when who listens has failed."""
        self._cut = cut
        if self._error is not None:
            cut()
        try:
            yield
        finally:
            self._cut = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.started()
        os.close(self._stopper)
        self._thread.join()
        for reader in (*self._readers, self._stop):
            os.close(reader)
        if self._error is not None and error is None:
            raise self._error

    def _pass_on(self) -> None:
        """Until both pipes are closed or, after the command's end, what was in them is read.

        A process that the command left behind may hold a pipe open, and write, for ever.
        """
        poller = select.poll()
        for reader in (*self._readers, self._stop):
            poller.register(reader, select.POLLIN)
        open_ends = set(self._readers)
        left = _PIPE_FULL
        while open_ends and left:
            events = [reader for reader, _ in poller.poll()]
            ready = [reader for reader in events if reader in open_ends]
            if self._stop in events:
                left = left - 1 if ready else 0
            for reader in ready:
                data = os.read(reader, _CHUNK)
                if data:
                    self._give(self._readers[reader], data)
                else:
                    poller.unregister(reader)
                    open_ends.discard(reader)

    def _give(self, stream: int, data: bytes) -> None:
        if self._error is not None:
            return  # the listener failed once; go on reading, so that the command does not block
        try:
            self._output(stream, data)
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits
            self._error = error
            if (cut := self._cut) is not None:
                cut()
