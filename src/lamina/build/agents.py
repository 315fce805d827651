"""ssh agents as they are named: `--ssh default`, `--ssh ID=SOCKET`."""

import os
from collections.abc import Mapping

from lamina.errors import UsageError


def parse_agent(text: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """docker's `--ssh`: `default`, or `ID=SOCKET`. Gives ID and socket; raises `UsageError`."""
    name, _, path = text.partition("=")
    path = path or environ.get("SSH_AUTH_SOCK", "")
    if not name or not path:
        raise UsageError(
            f"--ssh {text!r}: there is no agent", hint="start one (`eval $(ssh-agent)`), or name it"
        )
    if "," not in path and not os.path.exists(path):
        raise UsageError(
            f"--ssh {text!r}: there is no agent at {path}", hint="start one (`eval $(ssh-agent)`)"
        )
    if "," in path or (os.path.isfile(path) and not _is_socket(path)):
        raise UsageError(
            f"--ssh {text!r} names key files, and only agents are lent to a build",
            hint="add them to an agent: `ssh-add FILE`",
        )
    return name, os.path.abspath(path)


def _is_socket(path: str) -> bool:
    import socket  # hardly anybody's path is a plain file

    try:
        with socket.socket(socket.AF_UNIX) as end:
            end.connect(path)
    except OSError:
        return False
    return True
