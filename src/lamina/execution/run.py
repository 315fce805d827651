"""Starting one process over one root, and waiting for it: RUN and `run` are the same act.

    start(Job) -> Running -> Exit

The root is attached in a mount namespace of its own, by a private thread that is gone before
`start` returns; what keeps it are the processes in it, and these hang on a process namespace
that the kernel ends when this process ends (see lamina.execution.life). So a killed engine
leaves no mount and no container behind.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from lamina.errors import RuntimeFailure, UsageError, hint_of
from lamina.execution.job import Job, inspect
from lamina.execution.limiting import refuse_impossible
from lamina.execution.room import Room
from lamina.execution.running import Running
from lamina.execution.spawned import Exit, Stdio, refuse_no_terminal
from lamina.runtime.init import find_init
from lamina.runtime.isolation import Isolation

__all__ = ["Exit", "Job", "Running", "Stdio", "check", "in_words", "run", "start"]


def start(job: Job, isolation: Isolation, stdio: Stdio) -> Running:
    """Start the job's process; nothing is left when it raises.

    Raises `CommandNotFound`, `CommandNotExecutable`, another `RuntimeFailure`, `StorageError` for
    a root that cannot be mounted, or `UsageError`.
    """
    check(job)
    if job.process.tty:
        refuse_no_terminal(stdio, isolation.name)
    refuse_impossible(job.process, isolation.name)
    with in_words():
        room = Room(job, can_group=isolation.name != "chroot")
        try:
            return _begin(job, isolation, room, stdio)
        except BaseException:
            room.close()
            raise


@contextmanager
def in_words() -> Iterator[None]:
    """Tell the kernel's refusals of a start as `RuntimeFailure`."""
    try:
        yield
    except OSError as error:
        about = f" ({error.filename})" if error.filename else ""
        words = f"cannot start the container: {error.strerror or error}{about}"
        raise RuntimeFailure(words, hint=hint_of(error)) from error


def _begin(job: Job, isolation: Isolation, room: Room, stdio: Stdio) -> Running:
    """By one of two ways; the other is not loaded."""
    if isolation.name == "chroot":  # whose supervisor is an init already
        from lamina.execution import chroot

        return chroot.begin(job, inspect(job, room.folder), isolation, room, stdio)
    from lamina.execution import oci

    scene = inspect(job, room.folder, find_init() if job.process.confinement.init else "")
    return oci.begin(job, scene, isolation, room, stdio)


def run(job: Job, isolation: Isolation, stdio: Stdio) -> Exit:
    """Start it and wait for its end."""
    return start(job, isolation, stdio).wait()


def check(job: Job) -> None:
    """Refuse what cannot be started whatever the image is; raises `UsageError`."""
    process = job.process
    if process.network not in ("host", "none"):
        raise UsageError(
            f"there is no network {process.network!r}", hint="choose --network host or none"
        )
    if not process.cwd.startswith("/"):
        raise UsageError(
            f"the working directory {process.cwd!r} is not absolute",
            hint="begin it with a slash",
        )
