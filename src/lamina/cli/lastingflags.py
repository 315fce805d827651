"""The flags of `create` and `run` for containers that live by themselves."""

from lamina.cli.flags import Flag, Parsed
from lamina.cli.numbers import seconds
from lamina.containers.lasting import NO_RESTART, Lasting, with_log, with_restart
from lamina.containers.signals import number_of
from lamina.errors import UsageError

RESTART = Flag(
    "restart", "", "POLICY", "no, always, unless-stopped or on-failure[:NUMBER] (run -d)"
)
FLAGS = (
    Flag("log-driver", "", "NAME", "json-file (what it writes is kept for `logs`) or none"),
    Flag("log-opt", "", "KEY=VALUE", "max-size=SIZE (16m) and max-file=NUMBER (4) of it", True),
    RESTART,
    Flag("stop-signal", "", "SIGNAL", "what asks it to end (the image's, or TERM)"),
    Flag("stop-timeout", "", "SECONDS", "how long `stop` waits before it is killed (10)"),
)


def lasting(given: Parsed) -> Lasting:
    """What the flags ask for; raises `UsageError`."""
    signal = given.one("stop-signal") or ""
    if signal:
        number_of(signal)
    plain = Lasting(signal, seconds(given.one("stop-timeout"), "--stop-timeout"))
    plain = with_restart(plain, given.one("restart") or NO_RESTART)
    options = dict(_pair(text) for text in given.all("log-opt"))
    driver = given.one("log-driver")
    return with_log(plain, driver or "json-file", options) if driver or options else plain


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"invalid log option {text!r}", hint="write it as KEY=VALUE")
    return key, value
