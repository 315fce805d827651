"""Labels as flags give them: `--label`, and files of them."""

from lamina.cli.flags import Parsed
from lamina.errors import UsageError


def labels_of(given: Parsed) -> dict[str, str]:
    """Those of --label-file, then those of --label; raises `UsageError`."""
    texts = [text for path in given.all("label-file") for text in _lines(path)]
    return dict(_pair(text) for text in (*texts, *given.all("label")))


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8") as file:
            lines = [line.strip("\n").lstrip() for line in file]
    except OSError as error:
        raise UsageError(f"reading {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"reading {path}: it is no text in UTF-8") from None
    return [line for line in lines if line and not line.startswith("#")]


def _pair(text: str) -> tuple[str, str]:
    key, _, value = text.partition("=")
    if not key:
        raise UsageError(f"invalid label {text!r}", hint="write it as KEY=VALUE")
    return key, value
