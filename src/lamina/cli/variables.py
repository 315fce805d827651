"""Environment variables as flags give them: values, files of them, and names of ours."""

import os

from lamina.cli.flags import Parsed
from lamina.errors import UsageError


def environment(given: Parsed) -> list[str]:
    """Files first; a name without a value takes ours, and where we have none it is not set."""
    found = [text for path in given.all("env-file") for text in _env_file(path)]
    found += [_with_ours(text) for text in given.all("env")]
    for text in found:
        if text.startswith("="):
            raise UsageError(f"invalid environment variable {text!r}", hint="begin with a name")
    return found


def _env_file(path: str) -> list[str]:
    return [text for text in map(_with_ours, lines_of(path)) if "=" in text]


def lines_of(path: str) -> list[str]:
    """The lines of a file of KEY=VALUE, less empty ones and remarks; raises `UsageError`."""
    try:
        with open(path, encoding="utf-8") as file:
            lines = [line.strip("\n").lstrip() for line in file]
    except OSError as error:
        raise UsageError(f"reading {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"reading {path}: it is no text in UTF-8") from None
    return [line for line in lines if line and not line.startswith("#")]


def _with_ours(text: str) -> str:
    return f"{text}={os.environ[text]}" if "=" not in text and text in os.environ else text
