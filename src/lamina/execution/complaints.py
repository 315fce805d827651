"""What a runtime says of itself on the standard error that it shares with its container.

A runtime that fails writes there what it writes to its log, too, and the user would read it twice,
once in the runtime's own words. So the container's standard error goes through a pipe: what comes
before the command was executed is kept back until it is known whose words they are. Once the
command runs, everything is passed on as it comes.

Knows processes and pipes; what the words mean is the business of lamina.execution.oci.
"""

import _thread
import fcntl
import os
import signal
from collections.abc import Callable

from lamina.execution.inside import children
from lamina.fs.atomic import write_all

_CHUNK = 1 << 16
_LIMIT = 1 << 16  # bytes kept back; no runtime complains at such length
_CLONE = "/memfd:"  # runc executes itself from a sealed copy


class Complaints:
    """A pipe towards `target`; `end` is what the runtime is to have as its standard error.

    `means` is asked when nothing was executed and nobody can write any more: it gives the refusal
    that the words come to, or nothing when they are the container's after all.
    """

    def __init__(self, target: int | None, program: str, means: Callable[[bytes], str]) -> None:
        self.refusal = ""
        self._means = means
        self._program = os.stat(program)
        self._target = -1 if target is None else fcntl.fcntl(target, fcntl.F_DUPFD_CLOEXEC, 0)
        self._reader, self.end = os.pipe2(os.O_CLOEXEC)
        self._ended = _thread.allocate_lock()

    def listen(self, child: int) -> None:
        """Pass on what the runtime `child` and its container write, on a thread of its own."""
        self._ended.acquire()
        try:
            _thread.start_new_thread(self._pass_on, (child,))
        except BaseException:
            self._ended.release()
            raise
        self._close_end()

    def finish(self) -> None:
        """Wait until all of it is passed on; to be called when nobody can write any more."""
        with self._ended:
            pass

    def close(self) -> None:
        """Let go of everything, when nobody came to listen."""
        self._close_end()
        self._let_go()

    def _close_end(self) -> None:
        os.close(self.end)

    def _let_go(self) -> None:
        os.close(self._reader)
        if self._target >= 0:
            os.close(self._target)

    def _pass_on(self, child: int) -> None:
        # one that came here would not wake the thread that waits for the container
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            self._read_all(child)
        except OSError:
            pass  # nobody reads any more: closing our end tells the writers
        finally:
            self._let_go()
            self._ended.release()

    def _read_all(self, child: int) -> None:
        kept, started = b"", False
        while data := os.read(self._reader, _CHUNK):
            kept += data
            started = started or self._runs(child) or len(kept) > _LIMIT
            if started:
                self._give(kept)
                kept = b""
        self.refusal = "" if started else self._means(kept)
        if not self.refusal:
            self._give(kept)

    def _give(self, data: bytes) -> None:
        if self._target >= 0:
            write_all(self._target, data)

    def _runs(self, child: int) -> bool:
        """Whether a process below the runtime executes something else than the runtime."""
        for pid in children(child):
            program = f"/proc/{pid}/exe"
            try:
                # by inode: once the runtime has entered the root, its own path is no longer told
                is_runtime = os.path.samestat(os.stat(program), self._program)
                if not is_runtime and not os.readlink(program).startswith(_CLONE):
                    return True
            except OSError:
                continue  # it is gone
        return False
