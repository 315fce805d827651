"""`make setup`: a virtual environment in .venv from a lock with hashes, and the command in it.

    python -m scripts.setup runtime     what `lamina` needs
    python -m scripts.setup dev         that, and what the tests, types and lint need

Runs under any Python 3.11 or later with nothing installed. The checkout is linked into the
environment, not built: an edit is seen at once. A stamp, written last, names what the
environment was made from; where it matches nothing is done, where it does not (another lock,
another interpreter, a run that was killed) the environment is made anew. What only developers
need goes on top of what runs.
"""

import contextlib
import fcntl
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator

from scripts.apt import Missing, require, say

CHECKOUT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(CHECKOUT, ".venv")
PYTHON = os.path.join(VENV, "bin", "python")
SOURCE = os.path.join(CHECKOUT, "src")
STAMP = os.path.join(VENV, "lamina-setup")
LOCKS = {"runtime": "requirements.txt", "dev": "requirements-dev.txt"}


def main(arguments: list[str]) -> int:
    """Set up the kind named by the one argument; the exit status."""
    kind = arguments[0] if len(arguments) == 1 else ""
    if kind not in LOCKS:
        say("usage: python -m scripts.setup runtime|dev")
        return 2
    try:
        with _alone():
            set_up(kind)
    except Missing as why:
        say(f"setup: {why}")
        return 1
    return 0


def set_up(kind: str) -> None:
    """Bring .venv to what `kind` asks for; quick when it is there already."""
    if not _stamped(kind):
        begun = time.monotonic()
        say(f"setup: installing {LOCKS[kind]} into .venv")
        if not _stamped("runtime"):
            _make_environment()
        _install(LOCKS[kind])
        _link_checkout()
        _write(STAMP, "".join(f"{done} {_key(done)}\n" for done in _covered(kind)))
        say(f"setup: ready in {time.monotonic() - begun:.0f} s")
    _write(os.path.join(VENV, "bin", "lamina"), _launcher(), mode=0o755)


def _covered(kind: str) -> tuple[str, ...]:
    return ("runtime",) if kind == "runtime" else ("runtime", "dev")


def _stamped(kind: str) -> bool:
    """Whether .venv was made, to the end, from the lock and interpreter of now."""
    try:
        with open(STAMP, encoding="ascii") as stamp:
            return f"{kind} {_key(kind)}" in stamp.read().splitlines()
    except OSError:
        return False


def _key(kind: str) -> str:
    """What an environment of this kind depends on, as one digest."""
    digest = hashlib.sha256(f"{CHECKOUT}\n{_interpreter()}\n{sys.version}\n".encode())
    for lock in (LOCKS[done] for done in _covered(kind)):
        with open(os.path.join(CHECKOUT, lock), "rb") as file:
            digest.update(file.read())
    return digest.hexdigest()


def _interpreter() -> str:
    return str(getattr(sys, "_base_executable", "") or sys.executable)


def _make_environment() -> None:
    """An empty environment; Debian keeps the part that makes them in a package of its own."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(STAMP)
    try:
        import ensurepip  # noqa: F401
    except ImportError:
        require(
            [f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"], "a virtual environment"
        )
    _run([_interpreter(), "-m", "venv", "--clear", VENV], "the virtual environment was not made")


def _install(lock: str) -> None:
    command = [PYTHON, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    command += ["--require-hashes", "--requirement", os.path.join(CHECKOUT, lock)]
    _run(command, f"pip could not install {lock}")


def _link_checkout() -> None:
    """Put src/ on the environment's path and compile it, as an installation would."""
    _write(os.path.join(_site_packages(), "lamina-checkout.pth"), SOURCE + "\n")
    _run([PYTHON, "-m", "compileall", "-q", SOURCE], "src does not compile")


def _site_packages() -> str:
    return os.path.join(VENV, "lib", _python_version(), "site-packages")


def _python_version() -> str:
    return f"python{sys.version_info[0]}.{sys.version_info[1]}"


def _launcher() -> str:
    """The `lamina` command of this checkout.

    It starts Python without `site` (-S): that halves the interpreter's own start. Hence both
    folders of the import path stand in it. A wheel's ordinary entry point works as well.
    """
    body = (
        "import sys\n\n"
        f"sys.path.insert(0, {SOURCE!r})\n"
        f"sys.path.append({_site_packages()!r})\n\n"
        "from lamina.__main__ import run\n\n"
        "run()\n"
    )
    if " " in PYTHON or len(PYTHON) > 120:  # what a #! line cannot hold (execve(2))
        quoted = "'" + PYTHON.replace("'", "'\"'\"'") + "'"
        return f"#!/bin/sh\n'''exec' {quoted} -IS \"$0\" \"$@\"\n'''\n{body}"
    return f"#!{PYTHON} -IS\n{body}"


def _write(path: str, text: str, mode: int = 0o644) -> None:
    """Replace a file at once, when its content or mode differ."""
    with contextlib.suppress(OSError), open(path, encoding="utf-8") as file:
        if file.read() == text and os.fstat(file.fileno()).st_mode & 0o777 == mode:
            return
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), mode)
        file.write(text)
    os.replace(temporary, path)


def _run(command: list[str], failure: str) -> None:
    """Run a program and show what it says only when it fails; raises `Missing`."""
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        say(done.stdout.rstrip())
        raise Missing(failure)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """One setup at a time in a checkout; the lock dies with its holder."""
    os.makedirs(os.path.join(CHECKOUT, ".cache"), exist_ok=True)
    with open(os.path.join(CHECKOUT, ".cache", "setup.lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
