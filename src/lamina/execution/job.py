"""What is to be started over what, and what was found out about it beforehand."""

import os
from collections.abc import Callable
from typing import NamedTuple

from lamina.errors import RuntimeFailure
from lamina.execution.mountpoints import (
    SYSTEM,
    Point,
    file_points,
    system_points,
    volume_points,
)
from lamina.fs.mounting import MountPlan
from lamina.fs.tree import TreeView
from lamina.runtime.process import Process
from lamina.runtime.program import check_program
from lamina.runtime.users import Credentials, resolve_user

_UNCONFINED = frozenset((b"cwd", b"exe", b"fd", b"map_files", b"root"))


class Job(NamedTuple):
    """All that a start needs to know of its container.

    `run_dir` is where its bundle goes meanwhile; `upper` is the directory in which what is
    written ends up; `open_view` gives the merged tree as it is before the start.
    """

    container_id: str
    plan: MountPlan
    process: Process
    run_dir: str
    upper: str
    open_view: Callable[[], TreeView]


class Scene(NamedTuple):
    """The image's answers: who runs, which of /proc, /sys and /dev it lacks, where files and
    volumes go.
    """

    credentials: Credentials
    system: list[bytes]
    files: list[Point]
    volumes: list[Point]


def inspect(job: Job, folder: str) -> Scene:
    """Look before anything is made; raises `RuntimeFailure` (its kinds) or `UsageError`."""
    view = job.open_view()
    try:
        volumes = volume_points(view, job.process.volumes)
        hidden = (*SYSTEM, *(point.path for point in volumes))
        credentials = resolve_user(view, job.process.user)
        check_program(view, job.process, hidden)
        _check_cwd(view, job.process.cwd)
        return Scene(credentials, system_points(view), file_points(view, folder), volumes)
    finally:
        view.close()


def _check_cwd(view: TreeView, cwd: str) -> None:
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
