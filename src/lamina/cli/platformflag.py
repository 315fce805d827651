"""`--platform`, and the environment's DOCKER_DEFAULT_PLATFORM in its place, as docker has it."""

import os

from lamina.cli.flags import Parsed
from lamina.errors import UsageError

_DEFAULT = "DOCKER_DEFAULT_PLATFORM"


def platform_of(given: Parsed) -> str | None:
    """What is wanted, if anything is; raises `UsageError` where the environment's is none."""
    return given.one("platform") or _default()


def platforms_of(given: Parsed) -> list[str]:
    """All that is wanted of a flag that may come several times, each perhaps a list."""
    return given.all("platform") or [each for each in [_default()] if each]


def _default() -> str | None:
    text = os.environ.get(_DEFAULT)
    if not text:
        return None
    from lamina.values.platform import Platform  # hardly anybody has it set

    try:
        for each in text.split(","):
            Platform.parse(each.strip(), host=Platform("linux", "amd64"))
    except UsageError as error:
        raise UsageError(f"{_DEFAULT}={text}: {error.brief}", hint=error.hint) from None
    return text
