"""Where a build's files come from: the Dockerfile, its ignore file and the context directory.

What the context names itself (its Dockerfile, its ignore file) is opened beneath it, so that no
link in it reaches the rest of this machine; a Dockerfile that the caller names by path may lie
anywhere. Reads names and small texts here, never the context's content.
"""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, Self

from lamina.build.api import DEFAULT_DOCKERFILE, BuildRequest
from lamina.build.outside import Bring, bring_nothing
from lamina.build.sources import ContextTree, Ignore, NoTree
from lamina.dockerfile.ignore import IgnoreFile
from lamina.errors import BuildError, DockerfileError, PathNotFound, UsageError, from_oserror
from lamina.fs.inroot import Root

if TYPE_CHECKING:  # of what is elsewhere
    from lamina.build.witness import Material

_BUILDAHS = "Containerfile"
_LIMIT = 2 << 20  # bytes of a Dockerfile or an ignore file
_EXPLAINED = 1000  # lines of an ignore file, up to which the one that excludes is looked for
_IGNORE_SUFFIX = ".dockerignore"
_CALLS = "Stage"  # how messages call what stands in the place of a Dockerfile


class Text(NamedTuple):
    """A Dockerfile: how messages call it, and its bytes."""

    name: str
    data: bytes

    @property
    def text(self) -> str:
        """What it says; raises `DockerfileError`."""
        try:
            return self.data.decode("utf-8")
        except UnicodeDecodeError:
            raise DockerfileError("it is not UTF-8 text", file=self.name) from None


class Opened(NamedTuple):
    """What a build reads from; to be closed.

    `path` names the context to later builds of the same, `folder` is where its files are ("" when
    not for long); `bring` has what else the build names brought here, and `sources` where it all
    came from, as it comes.
    """

    dockerfile: Text
    tree: ContextTree | NoTree
    path: str
    folder: str = ""
    bring: Bring = bring_nothing
    sources: "Mapping[str, Material] | None" = None

    def close(self) -> None:
        """Give up the context."""
        self.tree.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()


def open_context(request: BuildRequest, folder: str | None) -> Opened:
    """Find and read the Dockerfile and the ignore file, and open the context, if there is any.

    Raises `DockerfileError`, `PathNotFound`, `UsageError` or a `StorageError`.
    """
    _refuse_tar(request.dockerfile_text)
    if folder is None:
        return Opened(_given(request) or _outside(request), NoTree(), "")
    path = os.path.abspath(folder)
    root = _root(path)
    try:
        dockerfile, inside = _dockerfile(root, path, request)
        ignore = _ignore(root, inside, request)
        return Opened(dockerfile, ContextTree(os.dup(root.fd), ignore), path, path)
    finally:
        root.close()


def open_brought(request: BuildRequest, folder: str, title: str) -> Opened:
    """The same of a context that was brought to `folder`, and is elsewhere called `title`.

    What the request calls the Dockerfile is looked for in there alone.
    """
    _refuse_tar(request.dockerfile_text)
    root = _root(folder)
    try:
        dockerfile, inside = _in_there(root, title, request)
        ignore = _ignore(root, inside, request)
        return Opened(dockerfile, ContextTree(os.dup(root.fd), ignore), title)
    finally:
        root.close()


def open_folder(path: str) -> ContextTree:
    """A directory as a named context, less what its own ignore file says."""
    root = _root(path)
    try:
        data = _read(root, _IGNORE_SUFFIX)
        return ContextTree(os.dup(root.fd), _compiled(_IGNORE_SUFFIX, data))
    finally:
        root.close()


def _refuse_tar(text: bytes | None) -> None:
    """A tar on standard input is a context for docker; say so instead of parsing it."""
    if text is None:
        return
    from lamina.archive.compress import detect

    if text[257:262] != b"ustar" and detect(text[:6]) == "none":
        return
    raise UsageError(
        "an archive is no Dockerfile", hint="as a context on standard input it is `-` alone"
    )


def _root(path: str) -> Root:
    try:
        return Root.at(path)
    except FileNotFoundError:
        raise PathNotFound(f"there is no build context {path}") from None
    except NotADirectoryError:
        raise UsageError(
            f"the build context {path} is not a directory", hint="name the directory it lies in"
        ) from None
    except OSError as error:
        raise from_oserror(error, "opening the build context", path) from error


def _dockerfile(root: Root, path: str, request: BuildRequest) -> tuple[Text, str | None]:
    """The Dockerfile, and its path in the context when it lies there."""
    given = _given(request)
    if given is not None:
        return given, None
    if request.dockerfile is None:
        return _default(root, path)
    inside = os.path.relpath(os.path.abspath(request.dockerfile), path)
    if inside.startswith(("../", "/")) or inside == "..":
        return _outside(request, path), None
    data = _read(root, inside)
    if data is None:
        raise PathNotFound(
            f"there is no Dockerfile {request.dockerfile}", hint=_where(path, request)
        )
    return Text(request.dockerfile, data), inside


def _where(path: str, request: BuildRequest) -> str:
    """What to do where a Dockerfile is named from its context, as buildah would have it."""
    name = os.path.join(path, request.dockerfile or "")
    return f"it is looked for from here: name {name}" if os.path.isfile(name) else ""


def _in_there(root: Root, title: str, request: BuildRequest) -> tuple[Text, str | None]:
    given = _given(request)
    if given is not None:
        return given, None
    if request.dockerfile is None:
        return _default(root, title)
    inside = os.path.normpath(request.dockerfile)
    data = None if inside.startswith(("../", "/")) else _read(root, inside)
    if data is None:
        raise PathNotFound(f"there is no Dockerfile {request.dockerfile} in {title}")
    return Text(inside, data), inside


def _given(request: BuildRequest) -> Text | None:
    if request.stages is not None:
        return Text(_CALLS, b"")
    if request.dockerfile_text is None:
        return None
    name = request.dockerfile or DEFAULT_DOCKERFILE
    return Text(name, _bounded(request.dockerfile_text, name))


def _default(root: Root, path: str) -> tuple[Text, str]:
    for name in (DEFAULT_DOCKERFILE, DEFAULT_DOCKERFILE.lower(), _BUILDAHS):
        data = _read(root, name)
        if data is not None:
            return Text(name, data), name
    raise PathNotFound(f"there is no Dockerfile in {path}", hint="name one with --file")


def _outside(request: BuildRequest, context: str = "") -> Text:
    """A Dockerfile that the caller names by a path of this machine."""
    name = request.dockerfile
    if name is None:
        raise UsageError("a build without a context needs a Dockerfile")
    try:
        with open(name, "rb") as file:
            data = file.read(_LIMIT + 1)
    except FileNotFoundError:
        hint = _where(context, request) if context else ""
        raise PathNotFound(f"there is no Dockerfile {name}", hint=hint) from None
    except OSError as error:
        raise from_oserror(error, "reading the Dockerfile", name) from error
    return Text(name, _bounded(data, name))


def _bounded(data: bytes, name: str) -> bytes:
    if len(data) > _LIMIT:
        raise DockerfileError(f"it is larger than {_LIMIT} bytes", file=name)
    return data


def _read(root: Root, name: str) -> bytes | None:
    """A small file of the context, links followed inside it; None when there is none.

    A link that leads out of the context is an error, not a missing file: an ignore file that is
    silently not there would let secrets into an image.
    """
    path = os.fsencode(name)
    if root.lstat(path) is None:
        return None
    try:
        return root.open_file(path, _LIMIT)
    except FileNotFoundError:
        raise BuildError(
            f"{name} is a link that leads to nothing inside the build context",
            hint="put the file itself into the context",
        ) from None
    except OSError as error:
        raise from_oserror(error, "reading", name) from error


class _Ignore:
    """An ignore file that can say which of its lines hides a path."""

    def __init__(self, text: str, name: str) -> None:
        self._text = text
        self._name = name
        compiled = IgnoreFile.parse(text, name)
        self.excludes = compiled.excludes
        self.may_bring_back_below = compiled.may_bring_back_below
        self.brings_back = any(line.startswith("!") for line in text.split("\n"))

    def reason(self, path: str) -> str:
        """The last line that matches: `excluded by line 3 of .dockerignore`."""
        lines = self._text.split("\n")
        if len(lines) > _EXPLAINED:
            return f"excluded by {self._name}"
        for end in range(len(lines), 0, -1):
            before = IgnoreFile.parse("\n".join(lines[: end - 1]), self._name)
            if not before.excludes(path):
                return f"excluded by line {end} of {self._name}"
        return f"excluded by {self._name}"


def _ignore(root: Root, inside: str | None, request: BuildRequest) -> Ignore | None:
    """The ignore file that is named, else that beside the Dockerfile, else the context's own."""
    if request.ignore_file is not None:
        data = _ours(request.ignore_file)
        if data is None:
            raise PathNotFound(f"there is no ignore file {request.ignore_file}")
        return _compiled(request.ignore_file, data)
    name, data = _beside(root, inside, request)
    if data is None:
        name, data = _IGNORE_SUFFIX, _read(root, _IGNORE_SUFFIX)
    return _compiled(name, data)


def _compiled(name: str, data: bytes | None) -> Ignore | None:
    return None if data is None else _Ignore(data.decode("utf-8", "surrogateescape"), name)


def _beside(root: Root, inside: str | None, request: BuildRequest) -> tuple[str, bytes | None]:
    if inside is not None:
        return inside + _IGNORE_SUFFIX, _read(root, inside + _IGNORE_SUFFIX)
    if request.dockerfile is None or _given(request) is not None:
        return "", None
    name = request.dockerfile + _IGNORE_SUFFIX
    return name, _ours(name)


def _ours(name: str) -> bytes | None:
    """A file of this machine, wherever it is; None where there is none."""
    try:
        with open(name, "rb") as file:
            return _bounded(file.read(_LIMIT + 1), name)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise from_oserror(error, "reading", name) from error
