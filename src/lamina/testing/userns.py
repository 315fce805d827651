"""Running a command in a user namespace of its own, as rootless engines do.

Root inside is an ID of the host that the caller chooses; the IDs from 1 on are a range that nobody
else has. The caller needs the right to write such a map (the host's root), and stays where it is.
"""

import os
import subprocess
from collections.abc import Mapping, Sequence
from typing import NamedTuple

_FIRST = 200_000  # of the host's IDs, for those inside from 1 on
OTHERS = 65_535  # how many of them engines give a user
_WAIT = 'echo ready; read -r _; exec setpriv --reuid=0 --regid=0 --clear-groups "$@"'


class Said(NamedTuple):
    """What the command wrote, and its status."""

    code: int
    out: str
    err: str


def run(
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    root: int = 0,
    others: int = OTHERS,
) -> Said:
    """Run `command` as root of a fresh user namespace; the host's ID `root` is root inside.

    It has so many `others`, from 1 on.
    """
    become = ["setpriv", f"--reuid={root}", f"--regid={root}", "--clear-groups"]
    with subprocess.Popen(
        [*become, "unshare", "--user", "--mount", "sh", "-c", _WAIT, "sh", *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=env,
        cwd=cwd,
        text=True,
    ) as child:
        assert child.stdout is not None
        if child.stdout.readline() == "ready\n":
            for name in ("uid_map", "gid_map"):
                with open(f"/proc/{child.pid}/{name}", "w", encoding="ascii") as file:
                    more = f"1 {_FIRST} {others}\n" if others else ""
                    file.write(f"0 {root} 1\n{more}")
        out, errors = child.communicate("\n")
    return Said(child.returncode, out, errors)


def give(path: str, root: int) -> None:
    """Let a directory be that of root inside."""
    os.chown(path, root, root)
