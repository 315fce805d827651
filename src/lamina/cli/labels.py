"""Labels as flags give them: `--label`, and files of them."""

from lamina.cli.flags import Parsed
from lamina.cli.variables import lines_of
from lamina.errors import UsageError


def labels_of(given: Parsed) -> dict[str, str]:
    """Those of --label-file, then those of --label; raises `UsageError`."""
    texts = [text for path in given.all("label-file") for text in lines_of(path)]
    return dict(_pair(text) for text in (*texts, *given.all("label")))


def _pair(text: str) -> tuple[str, str]:
    key, _, value = text.partition("=")
    if not key:
        raise UsageError(f"invalid label {text!r}", hint="write it as KEY=VALUE")
    return key, value
