"""Contexts that are not directories of this machine: brought here for one build, gone with it.

    a tar (standard input)  -> unpacked        a URL -> fetched -> a tar: unpacked
    a repository -> a commit -> checked out                     -> else it is a Dockerfile

They lie in read-write layers of the store, so that whatever is killed, recovery takes them away.
What is unpacked is bounded, belongs to whoever builds, and is written beneath its directory by
descriptor: no name and no link in it leads out. The builder sees a directory like any other, which
is why the cache does not tell where one came from.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing
from typing import NamedTuple

from lamina.archive.apply import apply
from lamina.archive.compress import ByteStream, open_decompressed
from lamina.archive.entry import Segment
from lamina.archive.header import BLOCK
from lamina.archive.reader import read
from lamina.build.begun import is_archive
from lamina.build.fetch import Fetcher, shown_url
from lamina.build.gitsource import Asking, check_out, resolve
from lamina.build.named import Address, Folder, Repository
from lamina.build.operation import Remote
from lamina.build.witness import CommitUsed, FileUsed, Material
from lamina.dockerfile.giturl import Git
from lamina.errors import BadArchive, PathNotFound, UsageError
from lamina.fs.inroot import Root
from lamina.fs.reading import DescriptorStream
from lamina.transfer.naming import named
from lamina.values.size import human

_LARGEST = 64 << 30  # bytes of all that is unpacked
_MEMBERS = 4_000_000
_TEXT = 2 << 20  # bytes of a Dockerfile


class Brought(NamedTuple):
    """A context that is here now: its directory, or the Dockerfile that it is instead.

    `title` names it in messages, and to later builds of the same; `material` is None for what
    nobody else could get.
    """

    title: str
    path: str = ""
    text: bytes | None = None
    material: FileUsed | CommitUsed | None = None


class Bringer:
    """Brings contexts here for one build; to be closed after it. `say` takes sentences."""

    def __init__(
        self,
        workplace: Callable[[], AbstractContextManager[str]],
        fetcher: Fetcher,
        say: Callable[[str], None],
        *,
        asking: Asking,
        keeps_git: bool = False,
    ) -> None:
        self._workplace = workplace
        self._fetcher = fetcher
        self._say = say
        self._asking = asking
        self._keeps_git = keeps_git
        self._held = ExitStack()
        self._folders: dict[str, Folder] = {}
        self.sources: dict[str, Material] = {}  # by the names of contexts; "" is the build's own

    def close(self) -> None:
        """Take away what was brought."""
        self._held.close()

    def main(self, source: Git | str | ByteStream) -> Brought:
        """The build's own context: a repository, a URL, or a tar as it comes.

        Raises `BuildError`, `BadArchive`, `PathNotFound`, `UsageError` or a `StorageError`.
        """
        if isinstance(source, Git | str):
            return self._noted("", self._from_away(source, "the context"))
        return self._unpacked(source, "the context on standard input")

    def folder(self, context: Repository | Address) -> Folder:
        """A named context, brought once; raises the same."""
        if context.name not in self._folders:
            source = context.git if isinstance(context, Repository) else context.url
            found = self._noted(
                context.name, self._from_away(source, f"the context {context.name}")
            )
            if found.text is not None:
                raise UsageError(
                    f"the context {context.name}: {found.title} is no archive",
                    hint="a named context is a tar, plain or compressed",
                )
            self._folders[context.name] = Folder(context.name, found.path, lasts=False)
        return self._folders[context.name]

    def _noted(self, name: str, brought: Brought) -> Brought:
        if brought.material is not None:
            self.sources[name] = brought.material
        return brought

    def _from_away(self, source: Git | str, what: str) -> Brought:
        if isinstance(source, Git):
            return self._repository(source, what)
        return self._fetched(source, what)

    def _repository(self, git: Git, what: str) -> Brought:
        commit = resolve(git, self._asking)
        self._say(f"{what} is {git.shown} at {commit[:12]}")
        folder = self._held.enter_context(self._workplace())
        check_out(git._replace(keeps_git=self._keeps_git), commit, self._asking, folder)
        used = CommitUsed(git.shown, commit)
        return Brought(git.shown, _beneath(folder, git), material=used)

    def _fetched(self, url: str, what: str) -> Brought:
        title = shown_url(url)
        fetched = self._fetcher.fetch(Remote(url, ""))
        self._say(f"{what} is {title}, {human(fetched.size)}")
        used = FileUsed(title, fetched.digest.hex())
        body = fetched.open()
        try:
            start = os.pread(body, BLOCK, 0)
            if not is_archive(start):
                return Brought(title, text=os.pread(body, _TEXT + 1, 0), material=used)
            return self._unpacked(DescriptorStream(body), title)._replace(material=used)
        finally:
            os.close(body)

    def _unpacked(self, stream: ByteStream, title: str) -> Brought:
        folder = self._held.enter_context(self._workplace())
        unpack(stream, folder, title)
        return Brought(title, folder)


def unpack(stream: ByteStream, folder: str, title: str) -> None:
    """Write a tar, plain or compressed, into an empty directory; raises `BadArchive` or such."""
    root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with named(title), open_decompressed(stream) as plain:
            apply(root, _bounded(read(plain)), whiteouts=False)
    finally:
        os.close(root)


def _bounded(segments: Iterator[Segment]) -> Iterator[Segment]:
    """The members as ours, up to the bounds: a context has no owners."""
    uid, gid = os.geteuid(), os.getegid()
    size = 0
    for count, segment in enumerate(segments):
        entry = segment.entry
        size += len(segment.raw) + (entry.stored if entry is not None else 0)
        if count > _MEMBERS or size > _LARGEST:
            raise BadArchive(
                f"it is too large for a context: it may have {_MEMBERS:,} members of"
                f" {human(_LARGEST)} altogether"
            )
        ours = entry._replace(uid=uid, gid=gid) if entry is not None else None
        yield segment._replace(entry=ours)


def _beneath(folder: str, git: Git) -> str:
    """The directory of a repository that is meant, links followed inside it alone."""
    if not git.subdir:
        return folder
    with closing(Root.at(folder)) as root:
        try:
            found = root.open(os.fsencode(git.subdir), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            raise PathNotFound(f"{git.shown} has no directory {git.subdir}") from None
        try:
            return os.readlink(f"/proc/self/fd/{found}")
        finally:
            os.close(found)
