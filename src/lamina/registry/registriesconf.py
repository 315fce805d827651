"""containers-registries.conf(5), version 2: the files that say where images are read from.

`CONTAINERS_REGISTRIES_CONF` names the only file; else the user's own stands for the system's, and
the drop-in folders of both are laid over it. A file that cannot be read is an error: it may block
something. Not followed: `short-name-mode`, `aliases` and `credential-helpers`.
"""

import os
import tomllib
from collections.abc import Mapping
from typing import NamedTuple, cast

from lamina.errors import ConfigurationError
from lamina.registry.sources import USES, Mirror, Rule, Rules

_SYSTEM = "/etc/containers"
_LIMIT = 1 << 20  # bytes of a file

_Table = Mapping[str, object]


class _Read(NamedTuple):
    """What one file says; `search` is None where it says nothing."""

    rules: tuple[Rule, ...]
    search: tuple[str, ...] | None


def read(environ: Mapping[str, str], system: str = _SYSTEM) -> Rules:
    """The rules for this user; raises `ConfigurationError` naming file and setting."""
    by_prefix: dict[str, Rule] = {}
    search: tuple[str, ...] = ()
    for path in _files(environ, system):
        found = _read(path)
        by_prefix.update((rule.prefix, rule) for rule in found.rules)
        search = search if found.search is None else found.search
    return Rules(tuple(by_prefix.values()), search)


def _files(environ: Mapping[str, str], system: str) -> list[str]:
    chosen = environ.get("CONTAINERS_REGISTRIES_CONF")
    if chosen:
        return [chosen]
    folders = [system]
    config = environ.get("XDG_CONFIG_HOME") or (
        os.path.join(environ["HOME"], ".config") if environ.get("HOME") else ""
    )
    if config:
        folders.append(os.path.join(config, "containers"))
    mains = [os.path.join(folder, "registries.conf") for folder in folders]
    there = [path for path in mains if os.path.exists(path)]
    return [*there[-1:], *(path for folder in folders for path in _dropped_in(folder))]


def _dropped_in(folder: str) -> list[str]:
    folder = os.path.join(folder, "registries.conf.d")
    try:
        names = sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise ConfigurationError(f"{folder} cannot be read: {error.strerror}") from None
    return [os.path.join(folder, name) for name in names if name.endswith(".conf")]


def _read(path: str) -> _Read:
    try:
        with open(path, "rb") as file:
            raw = file.read(_LIMIT + 1)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
    if len(raw) > _LIMIT:
        raise ConfigurationError(f"{path} has over {_LIMIT} bytes")
    try:
        document = tomllib.loads(raw.decode())
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path} is no TOML: {error}") from None
    if "registries" in document:
        raise ConfigurationError(
            f"{path} is of version 1 ([registries.search] and its like)",
            hint="write it with [[registry]] and unqualified-search-registries",
        )
    reader = _Reader(path)
    key = "unqualified-search-registries"
    return _Read(
        tuple(reader.rule(each) for each in reader.tables(document, "registry")),
        reader.texts(document, key) if key in document else None,
    )


class _Reader:
    """Takes settings out of tables, and names the file when they are none."""

    def __init__(self, path: str) -> None:
        self._path = path

    def rule(self, table: _Table) -> Rule:
        """One `[[registry]]`."""
        location = self._place(table, "location")
        prefix = self._place(table, "prefix") or location
        if not prefix:
            raise self._wrong("a [[registry]] has neither prefix nor location")
        use = ""
        if self._flag(table, "mirror-by-digest-only"):
            use = "digest-only"
        mirrors = tuple(self._mirror(each, use) for each in self.tables(table, "mirror"))
        return Rule(
            prefix,
            "" if location == prefix else location,
            self._path,
            self._flag(table, "insecure"),
            self._flag(table, "blocked"),
            mirrors,
        )

    def _mirror(self, table: _Table, use: str) -> Mirror:
        location = self._place(table, "location")
        own = self._text(table, "pull-from-mirror")
        if not location:
            raise self._wrong("a mirror has no location")
        if own and use:
            raise self._wrong("pull-from-mirror and mirror-by-digest-only exclude each other")
        if own and own not in USES:
            raise self._wrong(f"pull-from-mirror is {own[:40]!r}, not one of {', '.join(USES)}")
        return Mirror(location, self._flag(table, "insecure"), own or use or USES[0])

    def tables(self, table: _Table, key: str) -> list[_Table]:
        """A list of tables."""
        found = table.get(key, [])
        if isinstance(found, list) and all(isinstance(each, dict) for each in found):
            return cast("list[_Table]", found)
        raise self._wrong(f"{key} is no list of tables")

    def texts(self, table: _Table, key: str) -> tuple[str, ...]:
        """A list of texts."""
        found = table[key]
        if isinstance(found, list) and all(isinstance(each, str) for each in found):
            return tuple(found)
        raise self._wrong(f"{key} is no list of texts")

    def _text(self, table: _Table, key: str) -> str:
        found = table.get(key, "")
        if isinstance(found, str):
            return found
        raise self._wrong(f"{key} is no text")

    def _place(self, table: _Table, key: str) -> str:
        found = self._text(table, key).rstrip("/")
        if "://" in found or "@" in found.partition("/")[0]:
            raise self._wrong(f"{key} is {found[:80]!r}, and is to be a host or a host/path")
        return found

    def _flag(self, table: _Table, key: str) -> bool:
        found = table.get(key, False)
        if isinstance(found, bool):
            return found
        raise self._wrong(f"{key} is neither true nor false")

    def _wrong(self, text: str) -> ConfigurationError:
        return ConfigurationError(f"{self._path}: {text}")
