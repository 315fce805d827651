"""Debian packages that the workshop needs: named first, then installed where we may.

Knows apt-get and nothing of what the packages are for. Without root, or on another kind of
system, it says what to install and leaves that to the user.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable


class Missing(Exception):
    """Something that the machine has to have is not there; the text says what to do."""


def missing(programs: Iterable[tuple[str, str]]) -> list[str]:
    """The packages whose program is not on the path; `programs` are (program, package)."""
    return [package for program, package in programs if find(program) is None]


def find(program: str) -> str | None:
    """Where `program` is, with the folders that an ordinary user's path may lack."""
    return shutil.which(
        program, path=f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"
    )


def require(packages: Iterable[str], purpose: str) -> None:
    """Install `packages`, saying so first; raises `Missing` with the command to run."""
    names = " ".join(packages)
    if not names:
        return
    if os.geteuid() != 0 or find("apt-get") is None:
        raise Missing(f"{purpose} needs: {names} (as root: apt-get install {names})")
    say(f"{purpose} needs these Debian packages, which are installed now: {names}")
    install = ["install", "-y", "--no-install-recommends", *names.split()]
    if not _apt_get(install, quiet=True):  # the machine may have no package lists yet
        _apt_get(["update"])
        if not _apt_get(install):
            raise Missing(f"apt-get could not install {names}; its own words stand above")


def update_lists() -> None:
    """Fetch apt's package lists where the machine has none yet."""
    if os.geteuid() == 0:
        _apt_get(["update"])


def say(text: str) -> None:
    """One line to the user, in order with what child programs print."""
    print(text, file=sys.stderr, flush=True)


def _apt_get(arguments: list[str], *, quiet: bool = False) -> bool:
    """Run apt-get and tell whether it succeeded; what it said is shown when it did not."""
    done = subprocess.run(
        ["apt-get", "-q", *arguments],
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0 and not quiet:
        say("\n".join(done.stdout.splitlines()[-6:]))
    return done.returncode == 0
