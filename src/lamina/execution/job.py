"""What is to be started over what, and what was found out about it beforehand."""

from collections.abc import Callable
from typing import NamedTuple

from lamina.errors import RuntimeFailure
from lamina.execution.devices import shown
from lamina.execution.extras import Extra
from lamina.execution.mountpoints import (
    SYSTEM,
    Point,
    extra_points,
    file_point,
    file_points,
    placed,
    system_points,
    tmpfs_points,
    volume_points,
)
from lamina.execution.workdir import check_cwd
from lamina.fs.mounting import MountPlan
from lamina.fs.tree import TreeView
from lamina.kernel.namespaces import can_set_groups
from lamina.runtime.init import PLACE as INIT
from lamina.runtime.process import Process
from lamina.runtime.program import check_program
from lamina.runtime.users import Credentials, acting_as


class Job(NamedTuple):
    """All that a start needs to know of its container.

    `run_dir` is where its bundle goes meanwhile; `upper` is the directory in which what is
    written ends up; `open_view` gives the merged tree as it is before the start. What is
    `confidential` tells the runtime something (a secret variable) that goes to no disk.
    """

    container_id: str
    plan: MountPlan
    process: Process
    run_dir: str
    upper: str
    open_view: Callable[[], TreeView]
    extras: tuple[Extra, ...] = ()
    confidential: bool = False

    @property
    def needs_memory(self) -> bool:
        """Whether a file system in memory is needed beside the root."""
        return bool(self.extras) or self.confidential


class Scene(NamedTuple):
    """The image's answers: who runs, which of /proc, /sys and /dev it lacks, where files,
    volumes and extras go.
    """

    credentials: Credentials
    system: list[bytes]
    files: list[Point]
    volumes: list[Point]


def inspect(job: Job, folder: str, init: str = "") -> Scene:
    """Look before anything is made; raises `RuntimeFailure` (its kinds) or `UsageError`.

    `init` is the program that is to be the container's first process, if one is.
    """
    process = job.process
    view = job.open_view()
    try:
        volumes = _points(view, job, folder, init)
        hidden = (*SYSTEM, *(point.path for point in volumes))
        credentials = acting_as(view, process.user, process.confinement.groups)
        _check_groups(process.confinement.groups)
        check_program(view, process, hidden)
        check_cwd(view, process.cwd)
        taken = {point.path for point in volumes}
        every = file_points(view, folder, readonly=process.readonly_root)
        files = [point for point in every if point.path not in taken]
        return Scene(credentials, system_points(view), files, volumes)
    finally:
        view.close()


def _points(view: TreeView, job: Job, folder: str, init: str) -> list[Point]:
    process = job.process
    volumes = (*process.volumes, *shown(process))
    return placed(
        [
            *volume_points(view, volumes, opens_devices=process.privileged),
            *tmpfs_points(view, process.tmpfs),
            *extra_points(view, job.extras, folder),
            *([file_point(view, init, INIT, readonly=True)] if init else ()),
        ]
    )


def _check_groups(wanted: tuple[str, ...]) -> None:
    """crun leaves them out without a word where they cannot be set."""
    if wanted and not can_set_groups():
        raise RuntimeFailure(
            f"the groups {', '.join(wanted)} cannot be added: this user namespace sets none",
            hint="leave out --group-add, or enter a namespace with IDs of /etc/subgid",
        )
