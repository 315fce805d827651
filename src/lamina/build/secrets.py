"""What a build is trusted with: secrets by name, read when a command first needs them.

Their values are in memory only and in no repr; no key, record, event or layer holds one.
"""

import os
from collections.abc import Mapping

from lamina.errors import BuildError, PathNotFound, UsageError, from_oserror

LIMIT = 500 << 10  # bytes of one secret, BuildKit's own limit


class Secret:
    """One secret: a file of this machine, or a value. Use `from_file` and `of`."""

    def __init__(self, path: str, value: bytes | None) -> None:
        self._path = path
        self._value = value

    @classmethod
    def from_file(cls, path: str) -> "Secret":
        """What a file (or a pipe) holds; read once, and only if a command needs it."""
        return cls(path, None)

    @classmethod
    def of(cls, value: bytes) -> "Secret":
        """A value; raises `UsageError` for one that is too large."""
        if len(value) > LIMIT:
            raise UsageError(f"a secret is larger than {LIMIT} bytes")
        return cls("", value)

    def read(self, name: str) -> bytes:
        """The bytes; `name` is for messages. Raises `PathNotFound`, `BuildError` or OSError's."""
        if self._value is None:
            self._value = _content(self._path, name)
        return self._value

    def __repr__(self) -> str:
        return "Secret(...)"


def _content(path: str, name: str) -> bytes:
    data = b""
    try:
        with open(path, "rb", buffering=0) as file:
            while len(data) <= LIMIT and (more := file.read(LIMIT + 1 - len(data))):
                data += more
    except FileNotFoundError:
        raise _missing(name, path) from None
    except OSError as error:
        raise from_oserror(error, f"reading the secret {name!r} from", path) from error
    if len(data) > LIMIT:
        raise BuildError(f"the secret {name!r} is larger than {LIMIT} bytes")
    return data


def parse_secret(text: str, environ: Mapping[str, str]) -> tuple[str, Secret]:
    """docker's `--secret`: `id=NAME[,src=FILE|,env=VARIABLE]`, or the file's name as the ID.

    A file that is missing is told now, though it is read late: a build that finds all of its steps
    done would not notice. Raises `UsageError` or `PathNotFound`.
    """
    fields = _fields(text)
    kind, path, variable = fields.get("type", ""), fields.get("src", ""), fields.get("env", "")
    name = fields.get("id") or os.path.basename(path) or variable
    if not name or kind not in ("", "file", "env") or (path and variable):
        raise UsageError(
            f"--secret {text!r} names no secret", hint="write id=NAME,src=FILE or id=NAME,env=NAME"
        )
    if kind == "env":
        variable = variable or path or name
    elif not path and not variable and kind != "file" and name in environ:
        variable = name
    if not variable:
        return name, Secret.from_file(_found(name, os.path.abspath(path or name)))
    if variable not in environ:
        raise UsageError(f"the secret {name!r} is to come from ${variable}, and that is not set")
    return name, Secret.of(os.fsencode(environ[variable]))


def _found(name: str, path: str) -> str:
    if not os.path.exists(path):
        raise _missing(name, path)
    return path


def _missing(name: str, path: str) -> PathNotFound:
    return PathNotFound(f"the secret {name!r} is to come from {path}, and that is missing")


_ALIASES = {"source": "src"}


def _fields(text: str) -> dict[str, str]:
    found = {}
    for part in text.split(","):
        key, equals, value = part.partition("=")
        key = _ALIASES.get(key.strip().lower(), key.strip().lower())
        if key not in ("id", "type", "src", "env") or not equals:
            raise UsageError(
                f"--secret {text!r} has an unknown field {part!r}",
                hint="write id=NAME,src=FILE or id=NAME,env=NAME",
            )
        found[key] = value
    return found
