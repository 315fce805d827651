"""What the store is to be: flags over environment over `daemon.json` over the built-in values.

Reads the configuration file and nothing else of the machine; the environment is handed in.
"""

import json
import os
from collections.abc import Mapping
from typing import NamedTuple

from lamina.errors import ConfigurationError, InvalidSize
from lamina.values.size import parse as parse_size

_SYSTEM_FILE = "/etc/lamina/daemon.json"
_SYSTEM_ROOT = "/var/lib/lamina"
_SYSTEM_RUN_ROOT = "/run/lamina"
_TIMEOUT = 60.0  # seconds
_LONGEST_TIMEOUT = 3600.0
_SMALLEST_CHUNK = 1 << 18  # bytes


class Config(NamedTuple):
    """Settled settings; `driver` is None where the store itself is to decide.

    `driver_source` says where the driver's name came from, for `info --why`; `isolation` is None
    where the best that works is to be taken. `environ` is what was handed in, for credentials
    and proxies; `seccomp_profile` is a file, for containers of which nothing else is said;
    `registry_timeout` in seconds; `registry_chunk_size` in bytes, 0 for blobs that are
    sent whole.
    """

    root: str
    run_root: str
    driver: str | None
    driver_source: str
    storage_opts: tuple[str, ...]
    isolation: str | None
    insecure_registries: tuple[str, ...] = ()
    registry_mirrors: tuple[str, ...] = ()
    environ: Mapping[str, str] = {}
    registry_timeout: float = _TIMEOUT
    registry_chunk_size: int = 0
    seccomp_profile: str = ""


def settle(
    *,
    root: str | None,
    run_root: str | None,
    driver: str | None,
    storage_opts: tuple[str, ...],
    file: str | None,
    environ: Mapping[str, str],
    uid: int,
) -> Config:
    """Lay the sources over one another; raises `ConfigurationError` naming the culprit."""
    facts = _read(file, environ, uid)
    chosen, source = driver, "the --driver flag"
    if chosen is None and environ.get("LAMINA_DRIVER"):
        chosen, source = environ["LAMINA_DRIVER"], "LAMINA_DRIVER"
    if chosen is None and facts.driver is not None:
        chosen, source = facts.driver, facts.path
    return Config(
        os.path.abspath(root or environ.get("LAMINA_ROOT") or facts.root or _root(environ, uid)),
        os.path.abspath(run_root or environ.get("LAMINA_RUN_ROOT") or _run_root(environ, uid)),
        chosen,
        source if chosen is not None else "",
        storage_opts or facts.storage_opts,
        environ.get("LAMINA_ISOLATION") or facts.isolation,
        facts.insecure_registries,
        facts.registry_mirrors,
        environ,
        _timeout(environ, facts),
        _chunk_size(environ, facts),
        facts.seccomp_profile or "",
    )


def _timeout(environ: Mapping[str, str], facts: "_File") -> float:
    """The seconds that a registry may say nothing."""
    said, source = environ.get("LAMINA_REGISTRY_TIMEOUT"), "LAMINA_REGISTRY_TIMEOUT"
    value: object = said
    if not said:
        value, source = facts.registry_timeout, f"registry-timeout in {facts.path}"
    try:
        seconds = float(value) if isinstance(value, str | int | float) else 0.0
    except ValueError:
        seconds = 0.0
    if isinstance(value, bool) or not 0 < seconds <= _LONGEST_TIMEOUT:
        raise ConfigurationError(
            f"{source} is {str(value)[:40]!r}", hint=f"give seconds, at most {_LONGEST_TIMEOUT:.0f}"
        )
    return seconds


def _chunk_size(environ: Mapping[str, str], facts: "_File") -> int:
    """The bytes of a blob that are sent at once."""
    said, source = environ.get("LAMINA_REGISTRY_CHUNK_SIZE"), "LAMINA_REGISTRY_CHUNK_SIZE"
    value: object = said
    if not said:
        value, source = facts.registry_chunk_size, f"registry-chunk-size in {facts.path}"
    if value in (0, "0"):
        return 0
    try:
        size = parse_size(str(value))
    except InvalidSize:
        size = 0
    if isinstance(value, bool) or size < _SMALLEST_CHUNK:
        raise ConfigurationError(
            f"{source} is {str(value)[:40]!r}", hint="give bytes, as 16m; 256k at least, or 0"
        )
    return size


class _File(NamedTuple):
    path: str
    root: str | None
    driver: str | None
    storage_opts: tuple[str, ...]
    isolation: str | None
    insecure_registries: tuple[str, ...] = ()
    registry_mirrors: tuple[str, ...] = ()
    registry_timeout: object = _TIMEOUT
    registry_chunk_size: object = 0
    seccomp_profile: str | None = None


def _read(file: str | None, environ: Mapping[str, str], uid: int) -> _File:
    path = file or _default_file(environ, uid)
    try:
        with open(path, "rb") as opened:
            document = json.load(opened)
    except FileNotFoundError:
        if file is not None:
            raise ConfigurationError(f"the configuration file {file} does not exist") from None
        return _File(path, None, None, (), None)
    except (OSError, ValueError) as error:
        words = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise ConfigurationError(f"the configuration file {path} cannot be read: {words}") from None
    if not isinstance(document, dict):
        raise ConfigurationError(f"the configuration file {path} is not a JSON object")
    return _File(
        path,
        _text(document, "data-root", path),
        _text(document, "storage-driver", path),
        _texts(document, "storage-opts", path),
        _text(document, "default-runtime", path),
        _texts(document, "insecure-registries", path),
        _texts(document, "registry-mirrors", path),
        document.get("registry-timeout", _TIMEOUT),
        document.get("registry-chunk-size", 0),
        _text(document, "seccomp-profile", path),
    )


def _text(document: dict[str, object], key: str, path: str) -> str | None:
    value = document.get(key)
    if value is None or (isinstance(value, str) and value):
        return value
    raise ConfigurationError(f"{key} in {path} must be a non-empty string")


def _texts(document: dict[str, object], key: str, path: str) -> tuple[str, ...]:
    value = document.get(key, [])
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    raise ConfigurationError(f"{key} in {path} must be a list of strings")


def _default_file(environ: Mapping[str, str], uid: int) -> str:
    if uid == 0:
        return _SYSTEM_FILE
    base = environ.get("XDG_CONFIG_HOME") or os.path.join(_home(environ), ".config")
    return os.path.join(base, "lamina", "daemon.json")


def _root(environ: Mapping[str, str], uid: int) -> str:
    if uid == 0:
        return _SYSTEM_ROOT
    base = environ.get("XDG_DATA_HOME") or os.path.join(_home(environ), ".local", "share")
    return os.path.join(base, "lamina")


def _run_root(environ: Mapping[str, str], uid: int) -> str:
    if uid == 0:
        return _SYSTEM_RUN_ROOT
    base = environ.get("XDG_RUNTIME_DIR") or os.path.join("/tmp", f"lamina-{uid}")
    return os.path.join(base, "lamina") if "XDG_RUNTIME_DIR" in environ else base


def _home(environ: Mapping[str, str]) -> str:
    return environ.get("HOME") or "/"
