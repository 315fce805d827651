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

    def see(self, text):
        """Read until `text` is on the screen."""
        limit = time.monotonic() + PATIENCE
        while text not in self.screen:
            ready, _, _ = select.select([self.ours], [], [], max(0, limit - time.monotonic()))
            assert ready, self.screen
            self.screen += os.read(self.ours, 4096)

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
