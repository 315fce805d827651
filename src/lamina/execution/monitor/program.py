"""What keeps one detached container: the first process of a process namespace of its own.

Exec'ed as `python -I -S`; imports nothing of Lamina, so that hundreds of them cost little. Its
whole way:

    request -> `begun` -> go -> runtime create -> runtime start -> `started` -> ... -> exit record

It owns the container's life (the kernel kills everything in the namespace when this ends, whatever
ends it), its mount namespace, its locks (descriptors that it only keeps open), its log, and the
socket for those who attach. Before the word `go` nothing runs; when whoever starts it dies
before that, it ends. The exit record is written last: it is what everybody believes.

Descriptors: 3 requests come from, 4 reports go to, 5 is the mount namespace of whoever started
it, and from 6 on are locks.
"""

import os
import select
import signal
import time

from .clients import LAST_INPUT, Client, Clients
from .console import Console
from .health import Health, Plan
from .journal import Journal
from .jsonlog import Log
from .processes import bury, identity, kill_all, point, was_counted
from .request import REPORT, REQUEST, Wish, exact, say
from .restarts import Restarts

_OUTSIDE = 5
_CHUNK = 1 << 16
_SIGNALS = tuple(set(range(1, 65)) - {9, 19, 32, 33})  # 32 and 33 belong to the C library
_NOTHING = (None, None, None)
_NAMES = {1: "stdout", 2: "stderr"}
_NOT_STARTED = 128  # docker's exit status of what could not be started
_FAREWELL = 5.0  # seconds for those who are attached to take up the rest


class Monitor:
    """One container, from its start to its exit record."""

    def __init__(self, wish: Wish) -> None:
        self._wish = wish
        self._room = os.open(wish["room"], os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._record = os.open(wish["record"], os.O_WRONLY | os.O_CLOEXEC)
        size, files = int(wish["log_size"]), int(wish["log_files"])
        self._log = Log(wish["log"], size, files) if wish["log"] else None
        self._is_tty = wish["tty"] == "yes"
        self._clients = Clients(self._room, framed=not self._is_tty)
        self._sources: dict[int, int] = {}  # descriptors of the container's output: 1 or 2
        self._health: Health | None = None
        self._input = -1
        self._to_input = bytearray()
        self._input_ends = False
        room = wish["room"]
        self._restarts = Restarts(wish["restart"], f"{room}/stopped", f"{room}/restart")
        self._began = self._finished = 0.0
        self._oom = False
        self._wakened, wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGTERM):  # the latter: somebody asks it to stop
            signal.signal(number, lambda _number, _frame: None)

    # --- starting -------------------------------------------------------------------------

    def start(self) -> int:
        """Create and start the container; gives its first process, or 0 when that failed."""
        self._began = time.time()
        if not (self._created_at_terminal() if self._is_tty else self._created()):
            return 0
        self._empty()  # nothing of the container runs yet: these are the runtime's own words
        first = int(self._read("pid"))
        return 0 if self._run(self._wish.start, _NOTHING) else first

    def _created(self) -> bool:
        theirs = self._pipes()
        try:
            return not self._run(self._wish.create, theirs)
        finally:
            for each in theirs:
                if each is not None:
                    os.close(each)

    def _created_at_terminal(self) -> bool:
        console = Console(self._room)
        try:
            if self._run(self._wish.create, _NOTHING):
                return False
            self._input = console.take()
        finally:
            console.close()
        self._sources[self._input] = 1
        return True

    def _pipes(self) -> tuple[int | None, ...]:
        """The container's ends of its standard streams; ours are kept."""
        theirs: list[int | None] = [None]
        if self._wish["stdin"] == "open":
            theirs[0], self._input = os.pipe2(os.O_CLOEXEC)
            os.set_blocking(self._input, False)
        for number in (1, 2):
            ours, its = os.pipe2(os.O_CLOEXEC)
            os.set_blocking(ours, False)
            self._sources[ours] = number
            theirs.append(its)
        return tuple(theirs)

    def _empty(self) -> None:
        for descriptor in self._sources:
            while _read(descriptor):
                pass

    def _read(self, name: str) -> str:
        descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._room)
        try:
            return os.read(descriptor, 64).decode("ascii")
        finally:
            os.close(descriptor)

    def _run(self, command: list[str], stdio: tuple[int | None, ...]) -> int:
        """Run a program to its end; gives its wait(2) status."""
        return os.waitpid(self._spawn(command, stdio), 0)[1]

    def _spawn(self, command: list[str], stdio: tuple[int | None, ...]) -> int:
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        given = [null if each is None else each for each in stdio]
        try:
            return os.posix_spawn(
                command[0],
                command,
                {"PATH": self._wish["path"], "_LIBCONTAINER_STATEDIR": self._wish["room"]},
                file_actions=[(os.POSIX_SPAWN_DUP2, ours, its) for its, ours in enumerate(given)],
                setsid=True,
                setsigdef=_SIGNALS,
                setsigmask=(),
            )
        finally:
            os.close(null)

    # --- living ---------------------------------------------------------------------------

    def watch(self, first: int) -> int:
        """Hand on what is written and typed until the container has ended; gives its status."""
        self._health = self._checked()
        while True:
            ready = self._poll()
            for descriptor, events in ready:
                self._serve(descriptor, events)
            ended = bury(self._wakened) if self._wakened in dict(ready) else {}
            if first in ended:
                return ended[first]
            if self._health is not None:
                self._health.turn(ended)

    def _checked(self) -> Health | None:
        """What looks after its health, if anything is to be checked."""
        if not self._wish.probe:
            return None
        plan = Plan(
            self._wish["health"].split(),
            self._wish["findings"],
            f"{self._wish['room']}/probe.pid",
            f"{self._wish['room']}/paused",
        )
        return Health(plan, lambda out: self._spawn(self._wish.probe, (None, out, out)), self._tell)

    def _tell(self, words: str, at: float | None = None) -> None:
        Journal(self._wish["journal"]).tell(words, at)

    def _poll(self, patience: float | None = None) -> list[tuple[int, int]]:
        poller = select.poll()
        poller.register(self._wakened, select.POLLIN)
        if self._clients.has_room:
            poller.register(self._clients.listening, select.POLLIN)
        wanted = dict.fromkeys(self._sources, 0 if self._clients.are_slow else select.POLLIN)
        if self._input >= 0 and self._to_input:
            wanted[self._input] = wanted.get(self._input, 0) | select.POLLOUT
        for client in self._clients.known.values():
            reads = not client.is_done and not self._to_input
            wanted[client.fd] = (select.POLLIN if reads else 0) | (
                select.POLLOUT if client.waiting else 0
            )
        health = self._health
        if health is not None and health.output >= 0:
            wanted[health.output] = select.POLLIN
        for descriptor, events in wanted.items():
            if events or descriptor in self._clients.done:  # of those it is told when they leave
                poller.register(descriptor, events)
        if health is not None:
            patience = health.patience
        return poller.poll(None if patience is None else patience * 1000 + 1)

    def _serve(self, descriptor: int, events: int) -> None:
        if descriptor == self._clients.listening:
            self._clients.accept()
        elif self._health is not None and descriptor == self._health.output:
            self._health.read()
        elif descriptor in self._clients.known:
            self._serve_client(self._clients.known[descriptor], events)
        else:
            if descriptor in self._sources and events & ~select.POLLOUT:
                self._pass_on(descriptor)
            if descriptor == self._input and events & (select.POLLOUT | select.POLLERR):
                self._feed()

    def _pass_on(self, descriptor: int) -> bool:
        """Take up what the container wrote; False when there is nothing."""
        number = self._sources[descriptor]
        data = _read(descriptor)
        if data is None:
            del self._sources[descriptor]
            if descriptor != self._input:
                os.close(descriptor)
        if not data:
            return False
        if self._log is not None:
            self._log.write(_NAMES[number], data)
        self._clients.give(number, data)
        return True

    def _serve_client(self, client: Client, events: int) -> None:
        if events & select.POLLOUT:
            self._clients.flush(client)
        if events & ~select.POLLOUT and client.fd in self._clients.known:
            data = self._clients.read(client)
            if data is None and client.role == LAST_INPUT:
                self._input_ends = True
            self._to_input += data or b""
            self._feed()
            if data is None and events & (select.POLLHUP | select.POLLERR):
                self._clients.forget(client)

    def _feed(self) -> None:
        """Give the container what it takes up of its input."""
        if self._input < 0:
            self._to_input.clear()
            return
        try:
            while self._to_input:
                del self._to_input[: os.write(self._input, self._to_input[:_CHUNK])]
        except BlockingIOError:
            return
        except OSError:
            self._to_input.clear()  # it has closed its input
            self._input_ends = True
        if self._input_ends and not self._is_tty:
            os.close(self._input)
            self._input = -1

    # --- ending ---------------------------------------------------------------------------

    def live(self, first: int) -> None:
        """See it through to its end, and to those of the runs that come after that."""
        code = self._run_of(first)
        while self._restarts.wants(code):
            self._note("waiting", code)
            self._tell_end(code)
            self._run(self._wish.delete, _NOTHING)
            if not self._await_restart():
                self._note("stopped", code)
                self._take_leave()
                return
            self._restarts.count += 1
            first = self.start()
            if first:
                self._tell("start", self._began)
                self._note("running", code)
                if self._restarts.is_stopped:
                    os.kill(first, signal.SIGKILL)
            code = self._run_of(first) if first else self._failed()
        point("container-ended")
        self._note("ended", code)
        point("exit-recorded")
        self._take_leave()
        self._run(self._wish.delete, _NOTHING)

    def _tell_end(self, code: int) -> None:
        if self._oom:
            self._tell("oom", self._finished)
        lasted = int(self._finished - self._began)
        self._tell(f"die exitCode={code} execDuration={lasted}", self._finished)

    def _await_restart(self) -> bool:
        """Whether it is to be started again by now; it may be asked to stop meanwhile."""
        limit = time.monotonic() + self._restarts.delay(self._finished - self._began)
        while not self._restarts.is_stopped:
            left = limit - time.monotonic()
            if left <= 0:
                return True
            ready = self._poll(left)
            for descriptor, events in ready:
                self._serve(descriptor, events)
            if self._wakened in dict(ready):
                bury(self._wakened)
        return False

    def _run_of(self, first: int) -> int:
        """Wait for the end of one run; gives its exit status as a shell shows it."""
        status = self.watch(first)
        if self._health is not None:
            self._health.stop()
            self._health = None
        self._let_nothing_be_left()
        self._oom = any(map(was_counted, self._wish["counters"].split(":")))
        return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else status >> 8

    def _failed(self) -> int:
        self._let_nothing_be_left()
        return _NOT_STARTED

    def _let_nothing_be_left(self) -> None:
        """And pass on all that it wrote."""
        kill_all()
        for descriptor in list(self._sources):
            while descriptor in self._sources and self._pass_on(descriptor):
                pass
        if self._log is not None:
            self._log.finish()
        for descriptor in {*self._sources, self._input} - {-1}:
            os.close(descriptor)
        self._sources, self._input, self._input_ends = {}, -1, False
        self._finished, self._oom = time.time(), False

    def fail(self) -> None:
        """It could not be started."""
        self._finished = time.time()
        self._note("ended", _NOT_STARTED)

    def _note(self, state: str, code: int) -> None:
        """Write how it stands, in one write over what was set aside for it; see metadata.exits."""
        pid, start_time = identity()
        killed = "oom" if self._oom else "-"
        line = f"{pid} {start_time} {code} {self._finished:.6f} {killed}"
        line += f" {self._restarts.count} {state} {self._began:.6f}"
        os.pwrite(self._record, line.ljust(127).encode() + b"\n", 0)

    def _take_leave(self) -> None:
        limit = time.monotonic() + _FAREWELL
        while any(client.waiting for client in self._clients.known.values()):
            poller = select.poll()
            for client in self._clients.known.values():
                if client.waiting:
                    poller.register(client.fd, select.POLLOUT)
            left = limit - time.monotonic()
            if left <= 0:
                return
            for descriptor, _ in poller.poll(left * 1000):
                self._clients.flush(self._clients.known[descriptor])


def _read(descriptor: int) -> bytes | None:
    """What is there to read; None when nobody can write any more."""
    try:
        return os.read(descriptor, _CHUNK) or None
    except BlockingIOError:
        return b""
    except OSError:  # EIO: nobody has the terminal open any more
        return None


def main(count: int) -> None:
    """`count` descriptors are ours; all others, and the standard streams, are closed."""
    os.closerange(count, os.sysconf("SC_OPEN_MAX"))
    if os.fork():
        os._exit(0)  # the one who goes on is nobody's child, and the first in its namespace
    for descriptor in range(REQUEST, count):
        os.set_inheritable(descriptor, False)
    for number in (signal.SIGINT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    wish = Wish(exact(int.from_bytes(exact(8), "big")))
    os.chdir(wish["room"])
    monitor = Monitor(wish)
    say("begun {} {}".format(*identity()))
    exact(1)
    point("monitor-begun")
    first = monitor.start()
    point("container-started")
    say("started" if first else "failed")
    os.close(REPORT)
    os.close(REQUEST)
    if first:
        monitor.live(first)
    else:
        monitor.fail()
    if wish.finish:
        os.set_inheritable(_OUTSIDE, True)
        os.execv(wish.finish[0], wish.finish)
