"""The stage: headings, sentences, and commands that are shown and then really run.

Knows the terminal and the `lamina` command, not the story.
"""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import NoReturn

from demo.thin import keeper, thinned

CHECKOUT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_WIDTH = 88


class Failure(Exception):
    """The demo cannot go on; the text says at what and why."""


class Stage:
    """Prints the story in order with what the commands print; colours only on a terminal."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = dict(env)
        self._begun = time.monotonic()
        self._bold = ("\x1b[1m", "\x1b[0m") if _coloured() else ("", "")

    def seconds(self) -> float:
        """Since the curtain rose."""
        return time.monotonic() - self._begun

    def heading(self, number: int, title: str) -> None:
        """Begin a step."""
        rule = "-" * max(4, _WIDTH - len(title) - 12)
        self._print(f"\n{self._mark(f'-- {number}. {title}')} {rule} {self.seconds():4.0f} s\n")

    def tell(self, text: str) -> None:
        """A paragraph of the narrator."""
        self._print("\n".join(f"# {line}".rstrip() for line in text.splitlines()))

    def show(self, text: str) -> None:
        """Something that is neither narrator nor command."""
        self._print(text)

    def lamina(self, *arguments: str) -> str:
        """Show a `lamina` command, run it, let its output through, and return that."""
        return self.run(["lamina", *arguments])

    def ask(self, *arguments: str) -> str:
        """What a `lamina` command answers, without showing either."""
        done = self._process(["lamina", *arguments], capture=True)
        if done.returncode != 0:
            self._fail(["lamina", *arguments], done)
        return done.stdout.strip()

    def try_quietly(self, *arguments: str) -> bool:
        """Run a `lamina` command that may fail, such as taking away what may not be there."""
        return self._process(["lamina", *arguments], capture=True).returncode == 0

    def run(self, argv: list[str], *, cwd: str = CHECKOUT) -> str:
        """Show any command, run it in `cwd`, let its output through, and return that."""
        self._print(self._mark("$ " + " ".join(_quoted(word) for word in argv)))
        done = self._process(argv, cwd=cwd, capture=True, errors_through=True)
        if done.stdout:
            self._print(done.stdout.rstrip("\n"))
        if done.returncode != 0:
            self._fail(argv, done)
        return done.stdout

    def build(self, *arguments: str) -> None:
        """Show a `lamina build`, run it, and let its lines through as they come, thinned."""
        argv = ["lamina", "build", *arguments]
        self._print(self._mark("$ " + " ".join(_quoted(word) for word in argv)))
        unshown = keeper()
        with subprocess.Popen(
            argv,
            cwd=CHECKOUT,
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            for line in thinned((line.rstrip("\n") for line in process.stdout or ()), unshown):
                self._print(line)
        if process.returncode != 0:
            self._print("\n".join(unshown))
            raise Failure(f"`{' '.join(argv)}` ended with status {process.returncode}")

    def _process(
        self,
        argv: list[str],
        *,
        cwd: str = CHECKOUT,
        capture: bool = False,
        errors_through: bool = False,
    ) -> "subprocess.CompletedProcess[str]":
        sys.stdout.flush()
        pipe = subprocess.PIPE if capture else None
        return subprocess.run(
            argv,
            cwd=cwd,
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=pipe,
            stderr=None if errors_through else pipe,
            text=True,
            errors="replace",
            check=False,
        )

    def _fail(self, argv: list[str], done: "subprocess.CompletedProcess[str]") -> NoReturn:
        words = (done.stderr or "").strip()
        told = f": {words}" if words else ""
        raise Failure(f"`{' '.join(argv)}` ended with status {done.returncode}{told}")

    def _mark(self, text: str) -> str:
        return f"{self._bold[0]}{text}{self._bold[1]}"

    def _print(self, text: str) -> None:
        print(text, flush=True)


def _coloured() -> bool:
    """A terminal that may be coloured (NO_COLOR and TERM=dumb are honoured)."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return sys.stdout.isatty() and not plain


def _quoted(word: str) -> str:
    """A word as one would type it in a shell."""
    if word and all(letter.isalnum() or letter in "-_./:=,@%+" for letter in word):
        return word
    if "'" in word and not set(word) & set('"$`\\!'):
        return f'"{word}"'
    return "'" + word.replace("'", "'\"'\"'") + "'"
