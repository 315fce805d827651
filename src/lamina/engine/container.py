"""One container: what it is, its life, its files. It is made by `lamina.engine.containers`."""

import os
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from typing import TYPE_CHECKING, Unpack

from lamina.content.verified import ByteStream
from lamina.engine.containerfacts import ContainerFacts
from lamina.errors import ContainerNotFound, UsageError

if TYPE_CHECKING:  # what starts processes is loaded when one is started
    from lamina.archive.entry import Write
    from lamina.archive.results import Change
    from lamina.containers.archive import PathFacts
    from lamina.containers.ending import Watch
    from lamina.containers.executing import Order
    from lamina.containers.logs import LogLine
    from lamina.containers.processes import Processes
    from lamina.engine.attaching import Attached
    from lamina.engine.executing import ExecResult
    from lamina.engine.image import Image
    from lamina.engine.wishes import Limited
    from lamina.execution.accounting import Usage
    from lamina.execution.run import Running, Stdio

_STOP_PATIENCE = 10.0  # seconds, as docker's


class Container(ContainerFacts):
    """One container: its life and its files."""

    def running(self, stdio: "Stdio") -> "AbstractContextManager[Running]":
        """Start it with these descriptors; it is waited for when the block ends.

        Raises `RuntimeFailure`, `CommandNotFound` or `CommandNotExecutable`.
        """
        return self._store.started(self.id, stdio)

    def start(
        self, *, stdio: "Stdio | None" = None, before: Callable[[str], None] | None = None
    ) -> None:
        """Start it; it lives on, also without us. Nothing when it runs.

        `before` is called before anything of it runs, with the path of the socket for those who
        attach; `stdio` tells the size of a terminal.
        Raises `RuntimeFailure`, `CommandNotFound` or `CommandNotExecutable`.
        """
        from lamina.containers import detached
        from lamina.engine.finishing import command

        self.reload()
        if self.is_up:
            return
        finish = command(self._engine.config)
        detached.start(self._store, self.id, finish=finish, stdio=stdio, before=before)
        self.reload()

    def wait(self, *, last: bool = False) -> int:
        """Wait until it has ended; gives its exit status, as a shell shows it.

        One that is started again by its restart policy has ended all the same, as docker has it,
        unless its `last` end is waited for.
        """
        with self.watched(last=last) as wait:
            return wait()

    def watched(self, *, last: bool = False) -> "AbstractContextManager[Watch]":
        """Gives what, when it is called, waits for its end as `wait`, and tells its exit status.

        Also of one that is removed at its end, where asking later may be too late.
        """
        from lamina.containers.ending import watched

        return watched(self._store, self._store.get(self.id), last=last)

    def attached(
        self, *, stdin: bool = False, last: bool = False, start: "Stdio | None" = None
    ) -> "AbstractContextManager[Attached]":
        """Be connected to it: hear what it writes from now on and, with `stdin`, feed its input.

        With `last` its input ends when ours does. With `start` it is started first, so that
        nothing of it is missed; that tells the size of a terminal. Raises `NotRunning`, `InUse`.
        """
        from lamina.engine.attaching import attached

        return attached(self, self._store, stdin=stdin, last=last, start=start)

    def resize(self, size: os.terminal_size) -> None:
        """Give its terminal another size; nothing when it has none, or does not run."""
        from lamina.execution.inside import resize_terminal

        if self.is_up and self._stored.row.pid is not None:
            resize_terminal(self._stored.row.pid, size)

    def logs(
        self,
        *,
        follow: bool = False,
        tail: int | None = None,
        since: float | None = None,
        until: float | None = None,
        bell: int | None = None,
    ) -> "Generator[LogLine, None, None]":
        """What it wrote while it ran detached, a line at a time; with `follow` until it ends.

        The last `tail` lines alone; from `since` on and before `until` (seconds since the epoch).
        With `bell` it is also followed no longer once that descriptor is readable.
        Raises `UsageError` when it was made to keep no log.
        """
        if not self.settings.lasting.log_files:
            raise UsageError(
                f"the container {self.name} keeps no log", hint="it was made with --log-driver none"
            )
        from lamina.containers.logs import Selection, instant
        from lamina.containers.telling import log_lines

        wanted = Selection(tail, instant(since), instant(until))
        stored = self._store.get(self.id)
        return log_lines(self._store, stored, wanted, follow=follow, bell=bell)

    def kill(self, signal: int | str = "KILL") -> None:
        """Send its first process a signal; raises `NotRunning` or `UsageError`."""
        from lamina.containers.ending import signal_to
        from lamina.containers.signals import number_of

        signal_to(self._store, self._store.get(self.id), number_of(signal))

    def stop(
        self,
        *,
        timeout: float | None = None,
        signal: int | str | None = None,
        bell: int | None = None,
    ) -> bool:
        """Ask it to end by its stop signal, and kill it after `timeout` seconds (10; -1: never).

        Returns when it has ended, or, where it is never killed, once the descriptor `bell` is
        readable: whether it has ended. Nothing when it does not run.
        """
        from lamina.containers.ending import stop
        from lamina.containers.signals import number_of

        number = number_of(signal or self.stop_signal)
        patience = self.settings.lasting.stop_timeout if timeout is None else timeout
        patience = _STOP_PATIENCE if patience is None else patience
        limit = None if patience < 0 else patience
        has_ended = stop(self._store, self._store.get(self.id), number, limit, bell)
        with suppress(ContainerNotFound):  # it was to be removed at its end
            self.reload()
        return has_ended

    def pause(self) -> None:
        """Hold everything of it still; raises `NotRunning`, `Conflict` or `RuntimeFailure`."""
        from lamina.containers.holding import pause

        pause(self._store, self._store.get(self.id))
        self.reload()

    def unpause(self) -> None:
        """Let it go on; raises `Conflict` when it is not paused."""
        from lamina.containers.holding import unpause

        unpause(self._store, self._store.get(self.id))
        self.reload()

    def executed(self, order: "Order", stdio: "Stdio") -> "AbstractContextManager[Running]":
        """Execute one more command in it with these descriptors; it is waited for at the end.

        Raises `NotRunning`, `InUse` while it is paused, `CommandNotFound`, `CommandNotExecutable`.
        """
        from lamina.containers.executing import executed

        return executed(self._store, self._store.get(self.id), order, stdio)

    def exec(
        self,
        command: Sequence[str],
        *,
        input: bytes = b"",
        environment: Mapping[str, str] | Sequence[str] = (),
        working_dir: str | None = None,
        user: str | None = None,
        privileged: bool = False,
        timeout: float | None = None,
        limit: int = 16 << 20,
    ) -> "ExecResult":
        """Execute one more command in it, and give its exit status and what it wrote.

        Of each stream the first `limit` bytes are kept. After `timeout` seconds it is killed with
        all that it started. Raises as `executed`.
        """
        from lamina.containers.executing import Order
        from lamina.engine.executing import captured

        said = environment
        if isinstance(said, Mapping):
            said = [f"{key}={value}" for key, value in said.items()]
        order = Order(
            tuple(command), tuple(said), working_dir, user, tty=False, privileged=privileged
        )
        return captured(lambda stdio: self.executed(order, stdio), input, timeout, limit)

    def top(self, options: Sequence[str] = ("-ef",)) -> "Processes":
        """What runs in it, as ps(1) with these options tells; raises `NotRunning`."""
        from lamina.containers.processes import processes

        return processes(self._store.get(self.id), options)

    def usage(self) -> "Usage | None":
        """What it has used up to now (processors, memory, disks, tasks); None when it is not up.

        Two looks tell what it uses: `lamina.views.stats`. Raises `ContainerNotFound`.
        """
        from lamina.execution.accounting import usage

        self.reload()
        holder, first = self._stored.row.pid, self.pid
        return usage(holder, first, self.id) if holder is not None and first else None

    @property
    def stop_signal(self) -> str:
        """What it is asked to end by: its own signal, its image's STOPSIGNAL, else SIGTERM."""
        own = self.settings.lasting.stop_signal
        return own or self._engine.image_store.config(self.image).config.stop_signal or "SIGTERM"

    def restart(
        self,
        *,
        timeout: float | None = None,
        signal: int | str | None = None,
        bell: int | None = None,
        before: Callable[[str], None] | None = None,
    ) -> bool:
        """Stop it, if it runs, and start it, as `stop` and `start`: whether that was done."""
        if not self.stop(timeout=timeout, signal=signal, bell=bell):
            return False
        self.start(before=before)
        self._store.announce(self._stored.row, "restart")
        return True

    def diff(self) -> "list[Change]":
        """What it changed over its image, in docker's A, C and D."""
        return list(self._store.changes(self._stored))

    def commit(
        self,
        repository: str | None = None,
        tag: str | None = None,
        *,
        message: str = "",
        author: str = "",
        changes: Sequence[str] = (),
        pause: bool = True,
    ) -> "Image":
        """Make an image of it as it is now, held still meanwhile unless `pause` is false.

        Durable when this returns.
        """
        from lamina.containers.commit import commit
        from lamina.engine.image import Image, tag_reference

        name = f"{repository}:{tag}" if repository and tag else repository
        image = commit(
            self._store,
            self._stored,
            names=(tag_reference(name),) if name else (),
            message=message,
            author=author,
            changes=tuple(changes),
            pause=pause,
        )
        return Image(self._engine, self._engine.image_store.row(image))

    def fork(self, count: int = 1, *, name: str | None = None) -> "list[Container]":
        """Make so many containers like this one, each with a copy of all that it has written.

        All as of one moment: this one is held still meanwhile if it runs. None of them does.
        With a `name` they are called so, and NAME-2, NAME-3 ... where there are more.
        """
        from lamina.containers.forking import fork

        more = (f"{name}-{number}" for number in range(2, count + 1))
        called = [name, *more] if name is not None else [None] * count
        made = fork(self._store, self._store.get(self.id), called[:count])
        return [Container(self._engine, each) for each in made]

    def reset(self, *, force: bool = False) -> None:
        """Take away all that it has written.

        One that runs is killed for that, and started again, with `force`; raises `InUse` without.
        """
        from lamina.containers.forking import reset

        self.reload()
        runs = self.is_up
        if runs and force:
            self.stop(timeout=0, signal="KILL")
        reset(self._store, self._stored)
        self.reload()
        if runs:
            self.start()

    def update(self, *, restart: str | None = None, **wanted: "Unpack[Limited]") -> None:
        """Hold it to other limits, or another `restart` policy, also while it runs.

        What is not named stays. Raises `UsageError`, or `RuntimeFailure` for what cannot be
        changed while it runs.
        """
        from lamina.containers.lasting import with_restart
        from lamina.containers.updating import update
        from lamina.engine.wishing import relimited

        self.reload()
        limits, lasting = relimited(self.settings.limits, wanted), self.settings.lasting
        if restart is not None:
            lasting = with_restart(lasting, restart)
        update(self._store, self._stored, limits, lasting)
        self.reload()

    def rename(self, name: str) -> None:
        """Give it another name; raises `NameTaken` or `InvalidName`."""
        from lamina.containers.making import rename

        rename(self._store, self._stored, name)

    def remove(self, *, force: bool = False, volumes: bool = False) -> None:
        """Remove it with what it wrote; raises `InUse` while it runs, unless forced.

        With `volumes` those of its own that have no name go, too.
        """
        from lamina.containers.removing import remove

        remove(self._store, self._stored, force=force, volumes=volumes)

    def discard(self) -> None:
        """Remove it whatever it does, unless it is gone already."""
        try:
            self.reload()
            self.remove(force=True)
        except ContainerNotFound:
            pass

    def export(self, out: "Write") -> None:
        """Write its whole tree as one plain tar."""
        from lamina.transfer.save import export_tree

        layer = self._stored.row.layer_id
        with self._engine.layers.using(layer):
            view = self._engine.layers.view(layer)
            try:
                export_tree(view, out)
            finally:
                view.close()

    def get_archive(self, path: str, out: "Write") -> None:
        """Write the tar of a path in it; raises `PathNotFound`."""
        from lamina.containers import archive

        with archive.opened(self._store, self._stored, path) as place:
            archive.get(place, out)

    def put_archive(self, path: str, stream: ByteStream) -> None:
        """Unroll a tar into the directory `path` in it; raises `PathNotFound`."""
        from lamina.containers import archive

        with archive.opened(self._store, self._stored, path, writing=True) as place:
            archive.put(place, stream)

    def stat(self, path: str) -> os.stat_result:
        """The status of a path in it; raises `PathNotFound`."""
        return self.facts(path).status

    def facts(self, path: str) -> "PathFacts":
        """What a path in it is; raises `PathNotFound`."""
        from lamina.containers import archive

        with archive.opened(self._store, self._stored, path) as place:
            return archive.facts_of(place)
