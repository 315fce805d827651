"""A real Debian (or Ubuntu) root filesystem as a .tar.gz, made once and kept.

    python -m scripts.rootfs        makes it where needed and prints its path

It is made by debootstrap from the host's own distribution and mirror, as apt knows them: whatever
the host can reach, a container on it reaches too. Knows nothing of Lamina.
"""

import contextlib
import fcntl
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import NamedTuple

from scripts.apt import Missing, missing, require, say, update_lists

_FORM = 2  # counts up when an archive is made in another way
_SUFFIXES = ("-security", "-updates", "-backports", "-proposed")


class Distribution(NamedTuple):
    """What debootstrap is told: the suite, its components and the mirror it comes from."""

    suite: str
    components: str
    mirror: str


def archive(chosen: str | None = None) -> str:
    """The path of a root filesystem's archive: `chosen`, or the host's own, made when missing.

    Raises `Missing` when neither can be had.
    """
    if chosen:
        if not os.path.isfile(chosen):
            raise Missing(f"the base archive {chosen} is not a file")
        return os.path.abspath(chosen)
    if os.geteuid() != 0:
        raise Missing("making a root filesystem needs root; give an archive with BASE=")
    require(missing([("debootstrap", "debootstrap")]), "the root filesystem")
    distribution = host_distribution()
    with _cache(_key(distribution)) as folder:
        path = os.path.join(folder, "rootfs.tar.gz")
        if not os.path.exists(path):
            _make(distribution, folder, path)
    return path


def host_distribution() -> Distribution:
    """The host's distribution as its apt sources name it; raises `Missing` on other hosts."""
    release = _os_release()
    codename = release.get("VERSION_CODENAME", "")
    rows = _sources()
    if rows and not any(row.codename for row in rows):
        update_lists()
        rows = _sources()
    main = [row for row in rows if row.component == "main" and not row.release.endswith(_SUFFIXES)]
    for row in main:
        if codename in (row.release, row.codename) or row.origin.lower() == release.get("ID"):
            components = "main,universe" if row.origin == "Ubuntu" else "main"
            return Distribution(row.release, components, row.mirror)
    raise Missing("this host's apt sources name no Debian or Ubuntu; give an archive with BASE=")


class _Source(NamedTuple):
    mirror: str
    release: str
    codename: str
    component: str
    origin: str


def _sources() -> list[_Source]:
    """The binary package sources that apt has configured, in its own order."""
    layout = "|".join(
        f"$({name})" for name in ("REPO_URI", "RELEASE", "CODENAME", "COMPONENT", "ORIGIN")
    )
    try:
        done = subprocess.run(
            ["apt-get", "indextargets", "--format", layout, "Created-By: Packages"],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        raise Missing("apt-get names no package sources here; give an archive with BASE=") from None
    fields = (line.split("|") for line in done.stdout.splitlines())
    return [_Source(*row) for row in fields if len(row) == len(_Source._fields)]


def _os_release() -> dict[str, str]:
    with contextlib.suppress(OSError), open("/etc/os-release", encoding="utf-8") as file:
        pairs = (line.strip().partition("=") for line in file)
        return {name: value.strip("'\"") for name, _, value in pairs}
    return {}


def _key(distribution: Distribution) -> str:
    """Names the archive: another suite, mirror, architecture or way of making it is another."""
    facts = repr([*distribution, os.uname().machine, _FORM, *_proxies()])
    return f"{distribution.suite}-{hashlib.sha256(facts.encode()).hexdigest()[:12]}"


@contextlib.contextmanager
def _cache(key: str) -> Iterator[str]:
    """The folder for `key`, to one process at a time; the lock dies with its holder."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = os.path.join(home, "lamina", "rootfs", key)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


def _make(distribution: Distribution, folder: str, path: str) -> None:
    """debootstrap into a folder beside `path`, pack it, and publish the archive by a rename."""
    begun = time.monotonic()
    tree = os.path.join(folder, "tree")
    _erase(tree)
    say(f"rootfs: debootstrap --variant=minbase {distribution.suite} (once; kept in {folder})")
    options = ["--variant=minbase", f"--components={distribution.components}"]
    make = ["debootstrap", *options, distribution.suite, tree, distribution.mirror]
    _run([*_own_mounts(), *make], "debootstrap failed")
    _settle(tree)
    partial = path + ".partial"
    pack = ["tar", "--sort=name", "--numeric-owner", "--xattrs", "--xattrs-include=*"]
    _run([*pack, "-C", tree, "-czf", partial, "."], "the root filesystem was not packed")
    _erase(tree)
    os.replace(partial, path)
    size = os.path.getsize(path) / 1e6
    say(f"rootfs: {size:.0f} MB as .tar.gz, made in {time.monotonic() - begun:.0f} s")


def _own_mounts() -> list[str]:
    """What debootstrap mounts is to vanish with it, even when it is killed: where we may."""
    unshare = ["unshare", "--mount", "--propagation", "private"]
    tried = subprocess.run([*unshare, "true"], stderr=subprocess.DEVNULL, check=False)
    return unshare if tried.returncode == 0 else []


def _erase(tree: str) -> None:
    subprocess.run(["rm", "-rf", "--one-file-system", tree], check=True)


# What images want of apt: no caches, translations or packages kept, nothing installed unasked.
_APT = """\
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
APT::Keep-Downloaded-Packages "false";
APT::Install-Recommends "false";
Acquire::Languages "none";
"""


def _settle(tree: str) -> None:
    """Make the tree a container's: apt quiet and up to date, nothing of the host in it."""
    with open(os.path.join(tree, "etc/apt/apt.conf.d/90container"), "w", encoding="utf-8") as file:
        file.write(_APT + "".join(f"{line}\n" for line in _proxies()))
    answer = "echo debconf debconf/frontend select Noninteractive | debconf-set-selections"
    _run(["chroot", tree, "sh", "-c", answer], "debconf was not settled")
    _run(["chroot", tree, "apt-get", "-q", "update"], "apt has no package lists")
    for name in ("etc/resolv.conf", "etc/hostname"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(tree, name))


def _proxies() -> list[str]:
    """The proxy that only the host's apt knows, as lines of its configuration."""
    dump = subprocess.run(["apt-config", "dump"], stdout=subprocess.PIPE, text=True, check=False)
    wanted = ("Acquire::http::Proxy", "Acquire::https::Proxy", "Acquire::ftp::Proxy")
    return [line for line in dump.stdout.splitlines() if line.startswith(wanted)]


def _run(command: list[str], failure: str) -> None:
    """Run a program; the end of what it said is shown when it fails."""
    done = subprocess.run(
        command,
        env={**os.environ, "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        say("\n".join(done.stdout.splitlines()[-8:]))
        raise Missing(f"{failure}: status {done.returncode}")


if __name__ == "__main__":
    try:
        print(archive(sys.argv[1] if len(sys.argv) > 1 else None))
    except Missing as why:
        say(f"rootfs: {why}")
        sys.exit(1)
