"""Addresses of git repositories, as ADD takes them: which they are, and what is meant. Pure.

https://host/name.git#REF:SUBDIR     git@host:name.git     ssh://...     git://...
https://host/name.git?ref=|branch=|tag=|commit=|subdir=|submodules=|keep-git-dir=
"""

import re
from typing import NamedTuple

from lamina.errors import DockerfileError

_SCP = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*@[A-Za-z0-9][A-Za-z0-9.-]*:(?!//)[^#?]+", re.ASCII)
_URL = re.compile(r"(?:https?://[^#?]+\.git|ssh://[^#?]+|git://[^#?]+)/?", re.ASCII | re.IGNORECASE)
_USER = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*://)[^/@]*@", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}", re.ASCII)
_REF = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./+@-]{0,250}", re.ASCII)
_PREFIX = re.compile(r"[0-9a-f]{7,64}", re.ASCII)
_KNOWN = (
    *("ref", "branch", "tag", "commit", "checksum"),
    *("subdir", "submodules", "keep-git-dir"),
)


class Git(NamedTuple):
    """A repository: where, which state (empty: HEAD), and what of it.

    `commit` is a commit's hash or its beginning which it must be (empty: any).
    """

    url: str
    ref: str
    commit: str
    subdir: str
    submodules: bool
    keeps_git: bool

    @property
    def shown(self) -> str:
        """The address as messages show it: without a password."""
        return without_user(self.url)

    @property
    def is_fixed(self) -> bool:
        """Whether the state can never change: it is a whole commit hash."""
        return _COMMIT.fullmatch(self.ref) is not None


def parse(text: str, *, checksum: str = "", keeps_git: bool = False) -> Git | None:
    """The repository that `text` names; None when it is no such address.

    Raises `DockerfileError` for an address that asks for something unknown.
    """
    address, mark, fragment = text.partition("#")
    url, _, query = address.partition("?")
    if not (_SCP.fullmatch(url) or _URL.fullmatch(url)):
        return None
    from urllib.parse import parse_qsl  # of few Dockerfiles

    asked = dict(parse_qsl(query, keep_blank_values=True))
    for key in asked:
        if key not in _KNOWN:
            raise DockerfileError(
                f"{without_user(url)}: unknown query {key!r}", hint=f"it is {', '.join(_KNOWN)}"
            )
    ref, _, subdir = fragment.partition(":")
    named = [asked[key] for key in ("ref", "branch", "tag") if asked.get(key)]
    if (mark and (named or asked.get("subdir"))) or len(named) > 1:
        raise DockerfileError(f"{without_user(url)}: the state is named twice")
    commit = checksum or asked.get("checksum", "") or asked.get("commit", "")
    ref = ref or (named[0] if named else "") or asked.get("commit", "")
    return _checked(
        Git(
            url,
            ref,
            commit,
            (subdir or asked.get("subdir", "")).strip("/"),
            asked.get("submodules", "true").lower() not in ("false", "0"),
            keeps_git or asked.get("keep-git-dir", "false").lower() in ("true", "1"),
        )
    )


def without_user(url: str) -> str:
    """A URL without who asks; what is no URL (`git@host:name.git`) as it is."""
    return _USER.sub(r"\1", url)


def _checked(git: Git) -> Git:
    if git.ref and not _REF.fullmatch(git.ref):
        raise DockerfileError(f"{git.shown}: {git.ref[:80]!r} is no name of a state")
    if git.commit and not _PREFIX.fullmatch(git.commit):
        raise DockerfileError(
            f"invalid --checksum={git.commit[:80]}",
            hint="of a repository it is a commit, or its first 7 digits or more",
        )
    return git
