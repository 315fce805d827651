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
    try:
        with open(path, encoding="utf-8") as file:
            lines = [line.strip("\n").lstrip() for line in file]
    except OSError as error:
        raise UsageError(f"reading {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"reading {path}: it is no text in UTF-8") from None
    told = [_with_ours(line) for line in lines if line and not line.startswith("#")]
    return [text for text in told if "=" in text]


def _with_ours(text: str) -> str:
    return f"{text}={os.environ[text]}" if "=" not in text and text in os.environ else text
