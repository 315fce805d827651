"""Contexts by what they are called: what a build's own is, and what named ones stand for.

A directory, a git repository, or the URL of a tar; a named one (`--build-context NAME=...`), which
stands for a stage or an image of that name, also an image of the store (`docker-image://`) or of an
OCI layout (`oci-layout://`).
"""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from lamina.errors import DockerfileError, InvalidReference, UsageError
from lamina.values.reference import Reference

if TYPE_CHECKING:  # most contexts are directories
    from lamina.dockerfile.giturl import Git


class Folder(NamedTuple):
    """A directory of this machine, less what its own `.dockerignore` says.

    One that does not last is here for this build alone.
    """

    name: str
    path: str
    lasts: bool = True


class Repository(NamedTuple):
    """The files of a git repository."""

    name: str
    git: "Git"


class Address(NamedTuple):
    """The tar at a URL."""

    name: str
    url: str


class StoredImage(NamedTuple):
    """An image of the store."""

    reference: str


class Layout(NamedTuple):
    """One image of an OCI layout: by its tag or digest, or the only one when that is empty."""

    path: str
    choice: str


Named: TypeAlias = Folder | StoredImage | Layout | Repository | Address
_HUB = "github.com/"  # docker's short form


def elsewhere(text: str) -> "Git | str | None":
    """The repository or the URL that a context is; None where it is a directory.

    What is a directory of this machine is no address, whatever it is called. Raises `UsageError`.
    """
    if os.path.isdir(text):
        return None
    from lamina.dockerfile import giturl

    if text.startswith(_HUB):
        path, mark, rest = text.partition("#")
        text = f"https://{path.removesuffix('.git')}.git{mark}{rest}"
    try:
        found = giturl.parse(text)
    except DockerfileError as error:
        raise UsageError(error.brief, hint=error.hint) from None
    is_url = text.lower().startswith(("http://", "https://"))
    return text if found is None and is_url else found


def parse_named(text: str) -> tuple[str, Named]:
    """docker's `--build-context NAME=PATH|URL|docker-image://...|oci-layout://...`.

    Raises `UsageError`.
    """
    name, equals, value = text.partition("=")
    name = name.strip().lower()
    if not name or not equals or not value:
        raise UsageError(f"--build-context {text!r} is not NAME=CONTEXT")
    away = elsewhere(value)
    if isinstance(away, str):
        return name, Address(name, away)
    if away is not None:
        return name, Repository(name, away)
    scheme, mark, rest = value.partition("://")
    if not mark:
        return name, Folder(name, os.path.abspath(value))
    if scheme == "docker-image":
        return name, StoredImage(rest)
    if scheme == "oci-layout":
        return name, _layout(rest)
    raise UsageError(
        f"--build-context {name}={scheme}://...: such contexts are not supported",
        hint="use a directory, a repository, https://, docker-image:// or oci-layout://",
    )


def _layout(text: str) -> Layout:
    path, at, digest = text.partition("@")
    if at:
        return Layout(os.path.abspath(path), digest)
    folder, colon, tag = text.rpartition(":")
    if colon and "/" not in tag:
        return Layout(os.path.abspath(folder), tag)
    return Layout(os.path.abspath(text), "")


def find(contexts: Mapping[str, Named], name: str) -> Named | None:
    """The context that stands for a stage or an image of that name (`:latest` may be left out)."""
    exact = contexts.get(name.lower())
    if exact is not None:
        return exact
    wanted = _familiar(name)
    if wanted is None:
        return None
    return next((each for key, each in contexts.items() if _familiar(key) == wanted), None)


def _familiar(name: str) -> str | None:
    try:
        return str(Reference.parse(name).with_default_tag())
    except InvalidReference:
        return None
