"""What concerns a container that lives by itself: how it is stopped, and what is kept of its words.

Pure values, part of a container's settings.
"""

from collections.abc import Mapping
from typing import NamedTuple

from lamina.errors import InvalidSize, UsageError
from lamina.values.size import parse as parse_size

_DRIVERS = ("json-file", "none")
_SIZE, _FILES = 16 << 20, 4
_MOST_FILES = 1000
NO_RESTART = "no"
_POLICIES = (NO_RESTART, "always", "unless-stopped", "on-failure")


class Lasting(NamedTuple):
    """`stop_signal` is empty for the image's, `stop_timeout` (seconds) None for the usual one.

    The log has at most `log_files` files of about `log_size` bytes (0: without a bound), and there
    is none where `log_files` is 0. `restart` is docker's policy, of which `restart_retries` (0:
    any number) bounds that of a failing one.
    """

    stop_signal: str = ""
    stop_timeout: float | None = None
    log_size: int = _SIZE
    log_files: int = _FILES
    restart: str = NO_RESTART
    restart_retries: int = 0

    @property
    def restarts(self) -> bool:
        """Whether it may be started again by itself when it has ended."""
        return self.restart != NO_RESTART

    @property
    def restart_words(self) -> str:
        """The policy and its bound, as a monitor reads them."""
        return f"{self.restart} {self.restart_retries}"

    @property
    def log_driver(self) -> str:
        """As docker names it."""
        return "json-file" if self.log_files else "none"


def with_log(lasting: Lasting, driver: str, options: Mapping[str, str]) -> Lasting:
    """The same with a log as docker's options ask for it; raises `UsageError`."""
    if driver not in _DRIVERS:
        raise UsageError(f"there is no log driver {driver!r}", hint="there are json-file and none")
    if driver == "none":
        return lasting._replace(log_files=0)
    for key in options:
        if key not in ("max-size", "max-file"):
            raise UsageError(f"unknown log option {key!r}", hint="there are max-size and max-file")
    files = _count(options.get("max-file", str(_FILES if "max-size" not in options else 1)))
    return lasting._replace(log_size=_size(options.get("max-size")), log_files=files)


def with_restart(lasting: Lasting, text: str) -> Lasting:
    """The same with docker's `no|always|unless-stopped|on-failure[:NUMBER]`; `UsageError`."""
    policy, colon, number = text.partition(":")
    if policy not in _POLICIES:
        raise UsageError(
            f"there is no restart policy {policy[:40]!r}", hint=f"there are {', '.join(_POLICIES)}"
        )
    if colon and policy != "on-failure":
        raise UsageError(f"the restart policy {policy} has no number of retries")
    if colon and not (number.isascii() and number.isdecimal() and len(number) < 9):
        raise UsageError(f"the restart policy {text[:40]!r} has no number of retries it could mean")
    return lasting._replace(restart=policy, restart_retries=int(number or "0"))


def _size(text: str | None) -> int:
    if text is None:
        return _SIZE
    if text == "-1":
        return 0  # docker's word for no bound
    try:
        return parse_size(text)
    except InvalidSize as error:
        raise UsageError(f"max-size: {error.brief}") from None


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text[:5]) <= _MOST_FILES:
        raise UsageError(f"max-file {text!r} is no number of files", hint="1 to 1000")
    return int(text)
