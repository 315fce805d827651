"""Dockerfile instructions applied to an image's config: `commit --change`, `import --change`."""

from lamina.dockerfile import (
    Cmd,
    Entrypoint,
    Env,
    Expose,
    Instruction,
    Label,
    Onbuild,
    Stopsignal,
    User,
    Volume,
    Workdir,
    parse_fragment,
)
from lamina.errors import UsageError
from lamina.images.edit import Document, with_config
from lamina.spec.strictjson import Json


def apply_changes(document: Document, changes: tuple[str, ...]) -> Document:
    """The document with each instruction applied; raises `DockerfileError` or `UsageError`."""
    for text in changes:
        document = _apply(document, parse_fragment(text, filename="--change"))
    return document


def _apply(document: Document, change: Instruction) -> Document:
    config = _config(document)
    if isinstance(change, Cmd | Entrypoint):
        args = list(change.args) if change.is_exec else ["/bin/sh", "-c", *change.args]
        return with_config(document, **{type(change).__name__.capitalize(): _json(args)})
    if isinstance(change, Env):
        return with_config(document, Env=_merged_env(config, change))
    if isinstance(change, Label):
        labels = config.get("Labels")
        known = dict(labels) if isinstance(labels, dict) else {}
        return with_config(document, Labels={**known, **dict(change.pairs)})
    if isinstance(change, Workdir):
        return with_config(document, WorkingDir=change.path)
    if isinstance(change, User):
        return with_config(document, User=change.user)
    if isinstance(change, Stopsignal):
        return with_config(document, StopSignal=change.signal)
    return _apply_lists(document, config, change)


def _apply_lists(document: Document, config: Document, change: Instruction) -> Document:
    if isinstance(change, Expose):
        ports = [port if "/" in port else f"{port}/tcp" for port in change.ports]
        return with_config(document, ExposedPorts=_with_keys(config, "ExposedPorts", ports))
    if isinstance(change, Volume):
        return with_config(document, Volumes=_with_keys(config, "Volumes", list(change.paths)))
    if isinstance(change, Onbuild):
        known = config.get("OnBuild")
        return with_config(
            document, OnBuild=[*(known if isinstance(known, list) else []), change.text]
        )
    name = type(change).__name__.upper()
    raise UsageError(f"{name} cannot be applied to an image's config")


def _config(document: Document) -> Document:
    config = document.get("config")
    return config if isinstance(config, dict) else {}


def _json(texts: list[str]) -> list[Json]:
    return list(texts)


def _merged_env(config: Document, change: Env) -> list[Json]:
    known = config.get("Env")
    merged: dict[str, Json] = {}
    for item in known if isinstance(known, list) else []:
        merged[str(item).partition("=")[0]] = item
    for key, value in change.pairs:
        merged[key] = f"{key}={value}"
    return list(merged.values())


def _with_keys(config: Document, key: str, names: list[str]) -> dict[str, Json]:
    known = config.get(key)
    return {**(known if isinstance(known, dict) else {}), **{name: {} for name in names}}
