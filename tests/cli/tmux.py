"""A command on a terminal of its own: a real one, tmux's, that is looked at and typed into."""

import shlex
import shutil
import subprocess
import tempfile
import time

_PATIENCE = 60.0  # seconds; a bound, never a wait


class Terminal:
    """A command on a terminal of its own; afterwards it says how the command ended."""

    def __init__(self, tmux, lamina, *words, size=(100, 20), env=None):
        self._folder = tempfile.mkdtemp(prefix="lamina-")  # pytest's are too long for a socket
        self._tmux = [tmux, "-S", f"{self._folder}/tmux", "-f", "/dev/null"]
        given = {"LAMINA_RUN_ROOT": lamina.env["LAMINA_RUN_ROOT"], **(env or {})}
        values = [f"{key}={value}" for key, value in given.items()]
        command = shlex.join(["env", "-u", "NO_COLOR", "LC_ALL=C.UTF-8", *values])
        command += f" {shlex.join(lamina.command(*words))}; echo left: $?; read x"
        x, y = map(str, size)
        self.ask("new-session", "-d", "-x", x, "-y", y, command)

    def ask(self, *words):
        """What tmux answers to a command."""
        done = subprocess.run([*self._tmux, *words], capture_output=True, text=True, check=True)
        return done.stdout

    def press(self, *keys):
        """Type keys by tmux's names."""
        self.ask("send-keys", *keys)

    def resize(self, columns, rows):
        """Give the terminal another size."""
        self.ask("resize-window", "-x", str(columns), "-y", str(rows))

    def screen(self, *flags):
        """What is on the screen now; `-e` with its colours."""
        return self.ask("capture-pane", "-p", *flags)

    def shows(self, *wanted, lacking=()):
        """The screen, once it shows all that is wanted and nothing that is not."""

        def is_seen(screen):
            return all(each in screen for each in wanted) and not any(e in screen for e in lacking)

        return self.until(is_seen, wanted)

    def until(self, is_seen, what):
        """The screen, once it is as it should be."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            screen = self.screen()
            if is_seen(screen):
                return screen
            assert time.monotonic() < deadline, f"{what} never came:\n{screen}"

    def end(self):
        """Let it go, and its socket, which tmux leaves behind."""
        self.ask("kill-server")
        shutil.rmtree(self._folder)
