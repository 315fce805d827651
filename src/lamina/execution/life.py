"""One process namespace that dies with us, whatever kills us, and everything in it with it.

Its first process is `cat`, reading a pipe whose other end this process alone holds. When that is
closed, by `end` or by the kernel because we are gone, `cat` ends, and the kernel kills every
process of the namespace before `cat` is reaped. No instant is left in which a container could
outlive its engine: there is nothing to arrange after a start.
"""

import os

from lamina.errors import RuntimeFailure
from lamina.execution.spawned import Stdio, spawn
from lamina.kernel.namespaces import CLONE_NEWPID, unshare
from lamina.runtime.isolation import needed_program


class Life:
    """The namespace's first process; what the calling thread starts next lives under it."""

    def __init__(self, locks: tuple[int, ...]) -> None:
        """Begin; to be called on a private thread, whose own place it does not change.

        `locks` are descriptors of held locks: they stay held until the last process is gone.
        Raises `RuntimeFailure`.
        """
        try:
            unshare(CLONE_NEWPID)
        except OSError as error:
            raise RuntimeFailure(f"cannot make a process namespace: {error.strerror}") from error
        reader, self._line = os.pipe2(os.O_CLOEXEC)
        try:
            held = tuple(zip(locks, range(3, 3 + len(locks)), strict=True))
            self.pid = spawn([needed_program("cat")], Stdio(reader, None, None), extra=held)
        except BaseException:
            os.close(self._line)
            raise
        finally:
            os.close(reader)
        self._reaped = False

    def cut(self) -> None:
        """Let everything in the namespace be killed; does not wait."""
        line, self._line = self._line, -1
        if line >= 0:
            os.close(line)

    def end(self) -> None:
        """Let everything be killed and wait until it is."""
        self.cut()
        if not self._reaped:
            self._reaped = True
            try:
                os.waitpid(self.pid, 0)
            except ChildProcessError:
                pass  # the caller's process reaps, or ignores, all its children
