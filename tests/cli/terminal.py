"""A command at a terminal of its own: what it shows, what is typed into it."""

import contextlib
import fcntl
import os
import select
import struct
import subprocess
import termios
import time

PATIENCE = 30.0  # seconds; a bound, never a wait
_QUIET = 0.25  # seconds without a word


class Terminal:
    """A command at a terminal of its own; `screen` is all that it has shown."""

    def __init__(self, command, env, folder, size):
        self.ours, theirs = os.openpty()
        self.theirs = theirs
        self.resize(*size)
        self.before = termios.tcgetattr(theirs)
        self.screen = b""
        # setsid --ctty makes the terminal the command's own, as a shell's user has it
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *command],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=env,
            cwd=folder,
        )

    def resize(self, rows, columns):
        fcntl.ioctl(self.ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text):
        os.write(self.ours, text)

    def see(self, text, again=None):
        """Read until `text` is on the screen.

        `again` is called whenever nothing comes: for a signal that the command may not have been
        ready to hear when it was sent first.
        """
        limit = time.monotonic() + PATIENCE
        while text not in self.screen:
            left = max(0, limit - time.monotonic())
            ready, _, _ = select.select([self.ours], [], [], min(left, _QUIET) if again else left)
            assert ready or (again and left), self.screen
            if ready:
                self.screen += os.read(self.ours, 4096)
            else:
                again()

    def hang_up(self):
        """As if its window were closed."""
        os.close(self.theirs)
        os.close(self.ours)
        self.ours = self.theirs = None

    def end(self):
        code = self.process.wait(PATIENCE)
        assert termios.tcgetattr(self.theirs) == self.before, "the terminal is not as it was"
        return code

    def close(self):
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()
        if self.ours is not None:
            os.close(self.ours)
            os.close(self.theirs)
