"""The working directory of a command, looked at before it is started."""

import os

from lamina.errors import RuntimeFailure
from lamina.fs.tree import TreeView

_UNCONFINED = frozenset((b"cwd", b"exe", b"fd", b"map_files", b"root"))


def check_cwd(view: TreeView, cwd: str) -> None:
    """Refuse a working directory that is a link of /proc which no root confines (CVE-2024-21626).

    Links of the image are followed first: they may lead there.
    """
    try:
        parts = view.resolve(os.fsencode(cwd), follow_last=True).split(b"/")
    except OSError as error:
        raise RuntimeFailure(f"the working directory {cwd}: {error.strerror}") from error
    if parts[0] == b"proc" and not _UNCONFINED.isdisjoint(parts[2:]):
        raise RuntimeFailure(
            f"the working directory {cwd} may lie outside of the container",
            hint="choose one that is not a link of /proc",
        )
