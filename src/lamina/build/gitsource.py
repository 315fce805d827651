"""A git repository as a source: resolved to a commit; for ADD checked out only when it is wanted.

    ref -> git ls-remote -> commit -> (content remembered: nothing more)
                                   -> git fetch, checkout -> files, with the commit's time

The git program is found or named. It sees no configuration of this machine's, asks nobody, and
follows only http, https, ssh and git; what it checks out lies in a layer that goes again.
"""

import hashlib
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from typing import NamedTuple

from lamina.build.api import BuildRequest
from lamina.build.operation import PROXY_NAMES
from lamina.build.sources import NOTHING_KNOWN, Child, ContextTree
from lamina.dockerfile.giturl import Git, without_user
from lamina.errors import BuildError, DigestMismatch
from lamina.fs.remove import remove_tree
from lamina.fs.spawn import run
from lamina.fs.tree import Xattrs
from lamina.runtime.isolation import needed_program
from lamina.values.digest import ChainID

_SETTINGS = """\
umask 022
export HOME=/nonexistent GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null GIT_TERMINAL_PROMPT=0
export GIT_ALLOW_PROTOCOL=http:https:ssh:git GIT_ASKPASS=/bin/false SSH_ASKPASS=/bin/false
export GIT_SSH_COMMAND='ssh -oBatchMode=yes -oConnectTimeout=30'
exec git -c core.hooksPath=/dev/null -c protocol.file.allow=never -c core.fsmonitor=false \
  -c http.lowSpeedLimit=100 -c http.lowSpeedTime=60 -c advice.detachedHead=false "$@"
"""


class Asking(NamedTuple):
    """How git asks: the socket of an ssh agent ("": none), and proxies by their variables."""

    agent: str = ""
    proxies: Mapping[str, str] = {}

    @property
    def environment(self) -> dict[str, str]:
        """What git is to find in its environment."""
        agent = {"SSH_AUTH_SOCK": self.agent} if self.agent else {}
        return {**self.proxies, **agent}


def asking_of(request: BuildRequest, proxies: Mapping[str, str]) -> Asking:
    """As a build wants it: by its agent, and its own proxies before the machine's."""
    own = {name: value for name, value in request.build_args.items() if name in PROXY_NAMES}
    return Asking(request.agents.get("default", ""), {**proxies, **own})


class GitTree:
    """The files of a repository, checked out when the first is looked at."""

    keeps_owners = False
    contents = NOTHING_KNOWN

    def __init__(
        self,
        git: Git,
        commit: str,
        asking: Asking,
        workplace: Callable[[], AbstractContextManager[str]],
    ) -> None:
        self._git = git
        self.commit = commit
        self._asking = asking
        self._workplace = workplace
        self._held = ExitStack()
        self._opened: ContextTree | None = None
        self.title = f"the repository {git.shown}"

    @property
    def chain(self) -> ChainID:
        """What names this tree for ever: the same commit is the same files."""
        words = (self._git.url, self.commit, self._git.submodules, self._git.keeps_git)
        return ChainID("sha256:" + hashlib.sha256(repr(words).encode()).hexdigest())

    def lstat(self, path: bytes) -> os.stat_result | None:
        """The status of `path`; None when there is nothing."""
        return self._tree.lstat(path)

    def readlink(self, path: bytes) -> bytes:
        """A symbolic link's target; raises OSError."""
        return self._tree.readlink(path)

    def children(self, path: bytes) -> list[Child]:
        """The entries of a directory, by name; raises OSError."""
        return self._tree.children(path)

    def open(self, path: bytes) -> int:
        """A descriptor for reading; raises OSError."""
        return self._tree.open(path)

    def xattrs(self, path: bytes) -> Xattrs:
        """The attributes that a layer carries."""
        return self._tree.xattrs(path)

    def xattrs_of_open(self, descriptor: int, path: bytes) -> Xattrs:
        """The attributes of an open file."""
        return self._tree.xattrs_of_open(descriptor, path)

    def why_absent(self, path: bytes) -> str:
        """Nothing is hidden in a repository."""
        return ""

    def close(self) -> None:
        """Give up the files."""
        if self._opened is not None:
            self._opened.close()
        self._held.close()

    @property
    def _tree(self) -> ContextTree:
        if self._opened is None:
            folder = self._held.enter_context(self._workplace())
            check_out(self._git, self.commit, self._asking, folder)
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            self._opened = ContextTree(descriptor, None)
        return self._opened


def resolve(git: Git, asking: Asking) -> str:
    """The commit that is meant; raises `BuildError` or `DigestMismatch`."""
    commit = git.ref if git.is_fixed else _asked(git, asking)
    if git.commit and not commit.startswith(git.commit):
        raise DigestMismatch(f"{git.shown} is at the commit {commit}, and {git.commit} is expected")
    return commit


def _asked(git: Git, asking: Asking) -> str:
    name = git.ref or "HEAD"
    found = {}
    for line in _git(asking, "ls-remote", "--", git.url).splitlines():
        commit, _, ref = line.partition("\t")
        found[ref] = commit
    wanted = (f"refs/tags/{name}^{{}}", f"refs/tags/{name}", f"refs/heads/{name}", name)
    for ref in wanted:
        if ref in found:
            return found[ref]
    known = ", ".join(ref.rpartition("/")[2] for ref in list(found)[:8] if "/" in ref)
    raise BuildError(f"{git.shown} has no {name!r}", hint=f"it has {known}" if known else "")


def check_out(git: Git, commit: str, asking: Asking, folder: str) -> None:
    """Lay a repository's files out in an empty directory; raises `BuildError`."""
    at = ("-C", folder)
    _git(asking, *at, "init", "-q")
    _git(asking, *at, "remote", "add", "origin", git.url)
    try:
        _git(asking, *at, "fetch", "-q", "--depth", "1", "origin", commit)
    except BuildError:  # a server that gives no single commit, or no history in part
        everything = ("+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*")
        _git(asking, *at, "fetch", "-q", "origin", *everything)
    _git(asking, *at, "checkout", "-q", "--detach", commit)
    if git.submodules:
        _git(asking, *at, "submodule", "-q", "update", "--init", "--recursive")
    if git.keeps_git:
        _git(asking, *at, "remote", "set-url", "origin", git.shown)
    seconds = int(_git(asking, *at, "log", "-1", "--format=%ct"))
    _settle(folder, seconds, keeps_git=git.keeps_git)


def _settle(folder: str, seconds: int, *, keeps_git: bool) -> None:
    """Let everything be of the commit's time, and without `.git` unless that is wanted."""
    for base, folders, files in os.walk(folder):
        if ".git" in folders and not keeps_git:
            folders.remove(".git")
            remove_tree(os.path.join(base, ".git"))
        if ".git" in files and not keeps_git:
            files.remove(".git")
            os.unlink(os.path.join(base, ".git"))
        for name in files:
            os.utime(os.path.join(base, name), (seconds, seconds), follow_symlinks=False)
    for base, _, _ in os.walk(folder, topdown=False):
        os.utime(base, (seconds, seconds))


def _git(asking: Asking, *words: str) -> str:
    """What git says; raises `BuildError` with its complaint, or `ProgramMissing`."""
    needed_program("git")
    shell = needed_program("sh")
    said = run([shell, "-c", _SETTINGS, "git", *words], environment=asking.environment)
    if said.status:
        verb = next(word for word in words if word in _VERBS)
        complaint = _complaint(said.errors) or f"it ended with status {said.status}"
        for word in words:
            complaint = complaint.replace(word, without_user(word))
        if verb == "ls-remote" and without_user(words[-1]) not in complaint:
            verb += " " + without_user(words[-1])
        raise BuildError(f"git {verb}: {complaint}")
    return said.output


def _complaint(errors: str) -> str:
    """git's own last word, and the line beside it where that has the reason."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    fatal = [at for at, line in enumerate(lines) if line.startswith("fatal:")]
    if not fatal:
        return lines[-1] if lines else ""
    at = fatal[0]
    said = lines[at].removeprefix("fatal: ")
    if said.endswith(":"):  # of each address why it did not answer
        return " ".join([said, *lines[at + 1 : at + 2]])
    if at and said.startswith("Could not read from remote"):  # ssh, or the host, said why
        return lines[at - 1]
    return said


_VERBS = ("ls-remote", "init", "remote", "fetch", "checkout", "submodule", "log")
