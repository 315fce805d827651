"""What a build was made of that is not in its context, noted while it goes on: for provenance.

Images by the names that the Dockerfile gives them, files by their URLs, repositories by the commit
they were at. Nothing is read for it; addresses are noted as messages show them, without passwords.
"""

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from lamina.build.api import Bases
from lamina.build.fetch import shown_url
from lamina.build.operation import Remote
from lamina.build.selection import Fetched
from lamina.dockerfile.giturl import Git
from lamina.values.digest import ImageID

if TYPE_CHECKING:
    from lamina.build.gitsource import GitTree


class ImageUsed(NamedTuple):
    """An image of the store, by the name it was asked for, and the platform ("": any)."""

    reference: str
    platform: str
    image: ImageID


class FileUsed(NamedTuple):
    """What was at a URL, by its SHA-256 in hexadecimal digits."""

    url: str
    digits: str


class CommitUsed(NamedTuple):
    """A state of a git repository."""

    url: str
    commit: str


Material: TypeAlias = ImageUsed | FileUsed | CommitUsed


class Witness(NamedTuple):
    """What there is to be said of a build: its Dockerfile, where its context came from (`sources`:
    "" is the build's own, other names those of named ones; what is of this machine is not in it),
    what each platform's image was made of, and from when to when, in seconds since the epoch.
    """

    file: str
    text: str
    sources: Mapping[str, Material]
    materials: tuple[tuple[Material, ...], ...]
    started: float
    finished: float


class Witnessing:
    """Notes what one walk asks for; for any thread."""

    def __init__(self) -> None:
        self._found: set[Material] = set()
        self._lock = threading.Lock()

    @property
    def materials(self) -> tuple[Material, ...]:
        """All that was noted, in an order of its own."""
        return tuple(sorted(self._found, key=lambda each: (type(each).__name__, each)))

    def _note(self, material: Material) -> None:
        with self._lock:
            self._found.add(material)

    def bases(self, own: Bases) -> Bases:
        """The same bases, noted."""

        def found(reference: str, platform: str) -> ImageID:
            image = own(reference, platform)
            self._note(ImageUsed(reference, platform, image))
            return image

        return found

    def fetch(self, own: Callable[[Remote], Fetched]) -> Callable[[Remote], Fetched]:
        """The same files, noted."""

        def found(remote: Remote) -> Fetched:
            fetched = own(remote)
            self._note(FileUsed(shown_url(remote.url), fetched.digest.hex()))
            return fetched

        return found

    def repositories(self, own: "Callable[[Git], GitTree]") -> "Callable[[Git], GitTree]":
        """The same repositories, noted."""

        def found(git: Git) -> "GitTree":
            tree = own(git)
            self._note(CommitUsed(git.shown, tree.commit))
            return tree

        return found
