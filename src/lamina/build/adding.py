"""What an ADD reads: files of the context, what is fetched, or one repository. Pure."""

import re

from lamina.build.operation import Remote
from lamina.dockerfile import giturl
from lamina.dockerfile.giturl import Git
from lamina.errors import DockerfileError

_FETCHED = re.compile(r"https?://", re.ASCII | re.IGNORECASE)
_SHA256 = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)
_REMOTE = re.compile(r"[a-z][a-z0-9+.-]*://", re.ASCII | re.IGNORECASE)


def added(
    sources: list[str], checksum: str, *, keeps_git: bool
) -> tuple[list[str | Remote], Git | None]:
    """The sources as files and what is fetched, or the repository that is all of them.

    Raises `DockerfileError` without a place.
    """
    repositories = [giturl.parse(each, checksum=checksum, keeps_git=keeps_git) for each in sources]
    if any(repositories):
        if len(sources) > 1:
            raise DockerfileError(
                "a git repository is added alone", hint="give the other sources an ADD of their own"
            )
        return [], repositories[0]
    if keeps_git:
        raise DockerfileError("--keep-git-dir is for a git repository")
    for source in sources:
        if _REMOTE.match(source) and not _FETCHED.match(source):
            raise DockerfileError(f"{source.partition('?')[0]!r} cannot be fetched: use https")
    _check(sources, checksum)
    return [Remote(each, checksum) if _FETCHED.match(each) else each for each in sources], None


def _check(sources: list[str], checksum: str) -> None:
    if checksum and not (len(sources) == 1 and _FETCHED.match(sources[0])):
        raise DockerfileError(
            "--checksum is for one file that is fetched", hint="give each URL an ADD of its own"
        )
    if checksum and not _SHA256.fullmatch(checksum):
        raise DockerfileError(
            f"invalid --checksum={checksum[:80]}", hint="it is sha256: and 64 hexadecimal digits"
        )
