"""A terminal that a runtime makes for a command, taken over and passed between it and ours.

crun, asked to do that itself, ends with the command and leaves in the terminal what it has not read
by then: now and then a short command's words are lost. So the runtime gives the terminal's other
end away (--console-socket), and here it is read to its end before anybody is told of the command's.

Knows terminals and sockets; what runs there, and how its terminal gets a size, it does not know.
"""

import _thread
import fcntl
import os
import select
import signal
import socket
import termios
import tty
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from lamina.execution.spawned import Stdio
from lamina.fs.atomic import write_all

_CHUNK = 1 << 12  # bytes; so many a pipe takes without waiting once it takes any
_HELD = 1 << 17  # bytes; a terminal holds half of that
# a terminal stops who reads it from the background, whichever thread that is
_BLOCKED = signal.valid_signals() - {signal.SIGTTIN, signal.SIGTTOU}


class Console:
    """The terminal of one command; `end` is where the runtime finds the socket to send it by."""

    def __init__(self, folder: str, stdio: Stdio) -> None:
        """`folder` has the socket for a moment; `stdio` is what the terminal is passed from and to.

        Raises OSError.
        """
        with ExitStack() as failing:
            self._stdin = _copy(failing, stdio.stdin)
            self._stdout = _copy(failing, stdio.stdout)
            self._ended, self._end = os.pipe2(os.O_CLOEXEC)
            failing.callback(os.close, self._ended)
            failing.callback(os.close, self._end)
            self._listening = failing.enter_context(socket.socket(socket.AF_UNIX))
            self.end = _named(self._listening, folder)
            failing.pop_all()
        self._over = _thread.allocate_lock()

    def listen(self) -> None:
        """The runtime has `end` by now: pass on, on a thread of its own."""
        self._over.acquire()
        try:
            _thread.start_new_thread(self._pass_on, ())
        except BaseException:
            self._over.release()
            raise
        os.close(self.end)

    def finish(self) -> None:
        """The command has ended: wait until all that it wrote is passed on."""
        os.close(self._end)
        with self._over:
            pass

    def close(self) -> None:
        """Let go of everything, when nobody came to listen."""
        os.close(self.end)
        os.close(self._end)
        self._let_go()

    def _let_go(self) -> None:
        self._listening.close()
        for each in (self._ended, self._stdin, self._stdout):
            if each >= 0:
                os.close(each)

    def _pass_on(self) -> None:
        # one that came here would not wake the thread that waits for the command
        signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED)
        try:
            terminal = self._taken()
            if terminal is not None:
                self._exchange(terminal)
        except OSError:
            pass  # nobody looks at it any more: its end has told the command
        finally:
            self._let_go()
            self._over.release()

    def _taken(self) -> int | None:
        """The terminal; None when the runtime ends without sending any."""
        if self._listening.fileno() not in _ready({self._listening.fileno(): _IN, self._ended: 0}):
            return None
        sender, _ = self._listening.accept()
        with sender:
            _, descriptors, _, _ = socket.recv_fds(sender, _CHUNK, 1, socket.MSG_CMSG_CLOEXEC)
        return descriptors[0] if descriptors else None

    def _exchange(self, terminal: int) -> None:
        try:
            os.set_blocking(terminal, False)
            with _raw(self._stdin):
                _Exchange(terminal, self._stdin, self._stdout, self._ended).run()
        finally:
            os.close(terminal)


_IN, _OUT = select.POLLIN, select.POLLOUT


class _Exchange:
    """Bytes both ways, none taken up before those before it are passed on."""

    def __init__(self, terminal: int, stdin: int, stdout: int, ended: int) -> None:
        self._terminal = terminal
        self._stdin = stdin
        self._stdout = stdout
        self._ended = ended
        self._typed = b""
        self._shown = b""
        self._is_open = True  # by anybody who could write to it

    def run(self) -> None:
        """Until the command has ended; while it lives, to close the terminal would end it."""
        while True:
            ready = _ready(self._wanted())
            if self._ended in ready:
                self._drain()
                return
            if self._stdout in ready:
                self._shown = self._shown[os.write(self._stdout, self._shown) :]
            if self._stdin in ready:
                self._type()
            if self._typed:
                self._feed()
            if self._terminal in ready and not self._shown:
                self._is_open = self._read() != 0

    def _wanted(self) -> dict[int, int]:
        wanted = {self._ended: 0}
        if self._shown:
            wanted[self._stdout] = _OUT
        if not self._is_open:
            return wanted
        reads = 0 if self._shown else _IN
        writes = _OUT if self._typed else 0
        if reads | writes:
            wanted[self._terminal] = reads | writes
        if self._stdin >= 0 and not self._typed:
            wanted[self._stdin] = _IN
        return wanted

    def _type(self) -> None:
        try:
            self._typed = os.read(self._stdin, _CHUNK)
        except OSError:
            self._typed = b""  # it has hung up
        if not self._typed:
            self._stdin = -1

    def _feed(self) -> None:
        try:
            self._typed = self._typed[os.write(self._terminal, self._typed) :]
        except BlockingIOError:
            pass
        except OSError:
            self._typed = b""  # nobody is there to read it

    def _read(self) -> int:
        """Take up what is there; gives how much, 0 when nobody can write any more."""
        try:
            data = os.read(self._terminal, _CHUNK)
        except BlockingIOError:
            return -1
        except OSError:  # EIO: nobody has it open
            return 0
        self._shown = data if self._stdout >= 0 else b""
        return len(data)

    def _drain(self) -> None:
        """What is left: no more than a terminal holds, for others may still be writing."""
        left = _HELD
        write_all(self._stdout, self._shown)
        while left > 0 and (size := self._read()) > 0:
            write_all(self._stdout, self._shown)
            left -= size


def _ready(wanted: dict[int, int]) -> set[int]:
    """Wait for one of these; an end of it (POLLHUP, POLLERR) always counts."""
    poller = select.poll()
    for descriptor, events in wanted.items():
        poller.register(descriptor, events)
    return {descriptor for descriptor, _ in poller.poll()}


def _copy(failing: ExitStack, descriptor: int | None) -> int:
    if descriptor is None:
        return -1
    copy = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 0)
    failing.callback(os.close, copy)
    return copy


def _named(listening: socket.socket, folder: str) -> int:
    """Its name, as a descriptor alone: a kill leaves nothing, and no path is too long."""
    name = f"console.{os.urandom(8).hex()}"
    place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        listening.bind(f"/proc/self/fd/{place}/{name}")
        try:
            listening.listen(1)
            return os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=place)
        finally:
            os.unlink(name, dir_fd=place)
    finally:
        os.close(place)


@contextmanager
def _raw(terminal: int) -> Iterator[None]:
    """What is typed is for the command to read: our own terminal is to make nothing of it."""
    before = None
    with suppress(termios.error):  # it is none, or gone
        if terminal >= 0:
            before = termios.tcgetattr(terminal)
            tty.setraw(terminal, termios.TCSADRAIN)  # what was typed already is meant, too
    try:
        yield
    finally:
        with suppress(termios.error):
            if before is not None:
                termios.tcsetattr(terminal, termios.TCSADRAIN, before)
