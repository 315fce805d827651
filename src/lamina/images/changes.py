"""Dockerfile instructions applied to an image's config: `commit --change`, `import --change`.

As docker's `BuildFromConfig`: variables are those of the config's own ENV, and an ENTRYPOINT
takes away a CMD that was not given beside it.
"""

import posixpath
from collections.abc import Iterable

from lamina.dockerfile import (
    Cmd,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    Instruction,
    Label,
    Onbuild,
    Stopsignal,
    User,
    Volume,
    Workdir,
    expand,
    expand_words,
    health,
    parse_fragment,
    ports,
    stopsignal,
)
from lamina.errors import UsageError
from lamina.images.edit import Document, config_of, with_config
from lamina.spec.strictjson import Json

_DEFAULT_SHELL: tuple[Json, ...] = ("/bin/sh", "-c")


def apply_changes(document: Document, changes: tuple[str, ...]) -> Document:
    """The document with each instruction applied; raises `DockerfileError` or `UsageError`."""
    command_given = False
    for text in changes:
        change = parse_fragment(text, filename="--change")
        command_given |= isinstance(change, Cmd)
        if isinstance(change, Entrypoint) and not command_given:
            document = with_config(document, Cmd=None)
        document = with_config(document, **_fields(config_of(document), change))
    return document


def _fields(config: Document, change: Instruction) -> Document:
    """The fields of the config that an instruction sets; None takes one away."""
    words = _Words(config)
    if isinstance(change, Cmd | Entrypoint):
        args: list[Json] = list(change.args)
        shell = _items(config, "Shell") or list(_DEFAULT_SHELL)
        return {type(change).__name__: (args if change.is_exec else [*shell, *args]) or None}
    if isinstance(change, Env):
        return {"Env": _merged(_items(config, "Env"), words.pairs(change.pairs))}
    if isinstance(change, Label):
        return {"Labels": {**_mapping(config, "Labels"), **words.pairs(change.pairs)}}
    if isinstance(change, Workdir):
        return {"WorkingDir": _absolute(config, words.one(change.path))}
    if isinstance(change, User):
        return {"User": words.one(change.user)}
    if isinstance(change, Stopsignal):
        return {"StopSignal": stopsignal.checked(words.one(change.signal))}
    return _more_fields(config, change, words)


def _more_fields(config: Document, change: Instruction, words: "_Words") -> Document:
    if isinstance(change, Expose):
        operands = [word for operand in change.ports for word in words.several(operand)]
        found = [port for operand in operands for port in ports.unrolled(operand)]
        return {"ExposedPorts": _with_keys(config, "ExposedPorts", found)}
    if isinstance(change, Volume):
        paths = [words.one(path) for path in change.paths]
        return {"Volumes": _with_keys(config, "Volumes", paths)}
    if isinstance(change, Healthcheck):
        return {"Healthcheck": {**_mapping(config, "Healthcheck"), **health.config_of(change)}}
    if isinstance(change, Onbuild):
        return {"OnBuild": [*_items(config, "OnBuild"), change.text]}
    name = type(change).__name__.upper()
    raise UsageError(f"{name} cannot be applied to an image's config")


class _Words:
    """Words with the variables of a config's ENV replaced."""

    def __init__(self, config: Document) -> None:
        items = [item for item in _items(config, "Env") if isinstance(item, str)]
        self._env = {key: value for key, _, value in (item.partition("=") for item in items)}

    def one(self, text: str) -> str:
        return expand(text, self._env).text

    def several(self, text: str) -> list[str]:
        return expand_words(text, self._env)

    def pairs(self, pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
        return {self.one(key): self.one(value) for key, value in pairs}


def _merged(known: list[Json], pairs: dict[str, str]) -> list[Json]:
    merged: dict[str, Json] = {str(item).partition("=")[0]: item for item in known}
    merged.update({key: f"{key}={value}" for key, value in pairs.items()})
    return list(merged.values())


def _absolute(config: Document, path: str) -> str:
    here = config.get("WorkingDir")
    joined = posixpath.join("/", here if isinstance(here, str) else "", path)
    return posixpath.normpath("/" + joined.lstrip("/"))


def _mapping(document: Document, key: str) -> Document:
    found = document.get(key)
    return found if isinstance(found, dict) else {}


def _items(config: Document, key: str) -> list[Json]:
    found = config.get(key)
    return found if isinstance(found, list) else []


def _with_keys(config: Document, key: str, names: list[str]) -> Document:
    return {**_mapping(config, key), **{name: {} for name in names}}
