"""Named contexts (`--build-context NAME=...`): what stands for a stage or an image of that name.

A directory, an image of the store (`docker-image://`), or an OCI layout (`oci-layout://`).
"""

import os
from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

from lamina.errors import InvalidReference, UsageError
from lamina.values.reference import Reference


class Folder(NamedTuple):
    """A directory of this machine, less what its own `.dockerignore` says."""

    name: str
    path: str


class StoredImage(NamedTuple):
    """An image of the store."""

    reference: str


class Layout(NamedTuple):
    """One image of an OCI layout: by its tag or digest, or the only one when that is empty."""

    path: str
    choice: str


Named: TypeAlias = Folder | StoredImage | Layout


def parse_named(text: str) -> tuple[str, Named]:
    """docker's `--build-context NAME=PATH|docker-image://...|oci-layout://...`.

    Raises `UsageError`.
    """
    name, equals, value = text.partition("=")
    name = name.strip().lower()
    if not name or not equals or not value:
        raise UsageError(f"--build-context {text!r} is not NAME=CONTEXT")
    scheme, mark, rest = value.partition("://")
    if not mark:
        return name, Folder(name, os.path.abspath(value))
    if scheme == "docker-image":
        return name, StoredImage(rest)
    if scheme == "oci-layout":
        return name, _layout(rest)
    raise UsageError(
        f"--build-context {name}={scheme}://...: such contexts are not supported",
        hint="use a directory, docker-image:// or oci-layout://",
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
