"""STOPSIGNAL: by number or by name, real-time ones counted from their ends. Pure."""

import re
import signal

from lamina.errors import DockerfileError


def checked(text: str) -> str:
    """The text itself when it is a signal of this kernel; raises `DockerfileError`."""
    if text.isascii() and text.isdigit():
        known = 0 < int(text[:4]) <= signal.NSIG
    else:
        name = text.upper().removeprefix("SIG")
        known = re.sub(r"[+-]\d+$", "", f"SIG{name}") in signal.Signals.__members__
    if not known:
        raise DockerfileError(
            f"there is no signal {text!r}", hint="signals look like SIGTERM or 15"
        )
    return text
