"""Work on a thread of its own, which may leave its caller's namespaces and directory.

What unshare(2) and chdir(2) change is changed for one thread and ends with it; the caller's
process, its directory and its mount table stay as they are. Knows nothing of what is mounted.
"""

import _thread
from collections.abc import Callable
from typing import TypeVar

from lamina.kernel import mount as kernel
from lamina.kernel.namespaces import CLONE_FS, CLONE_NEWNS, unshare

T = TypeVar("T")


def in_private_namespace(work: Callable[[], T], lost: Callable[[T], None] | None = None) -> T:
    """Run `work` on a fresh thread with a mount namespace of its own; the caller has none.

    What it mounts is seen by it and by the processes that it starts, and is gone with the last
    of them, however they end. Its exception is raised here; what an interrupt keeps from its
    caller is handed to `lost`. Raises OSError where namespaces are not allowed.
    """

    def enter() -> T:
        enter_private_namespace()
        return work()

    return on_private_thread(enter, lost)


def enter_private_namespace() -> None:
    """Give the calling thread a mount namespace of its own, apart from its caller's for good."""
    unshare(CLONE_FS | CLONE_NEWNS)
    kernel.mount("none", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)


def on_private_thread(work: Callable[[], T], lost: Callable[[T], None] | None = None) -> T:
    """Run `work` on a thread that ends with it, so that nothing it changes of itself stays.

    An interrupt (Ctrl-C) of the caller is raised once `work` has ended, so that nobody clears
    away what it still uses; a second one is raised at once. What `work` gave is then handed to
    `lost`, to be ended: nobody else knows of it.
    """
    results: list[T] = []
    errors: list[BaseException] = []
    ended = _thread.allocate_lock()
    ended.acquire()

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # noqa: BLE001 - raised again by the caller's thread
            errors.append(error)
        finally:
            ended.release()

    try:
        _thread.start_new_thread(run, ())
        ended.acquire()
    except RuntimeError:
        raise  # no thread could be started
    except BaseException:
        if not (results or errors):  # else it has ended, and the lock may be ours already
            ended.acquire()
        if lost is not None and results:
            lost(results[0])
        raise
    if errors:
        raise errors[0]
    return results[0]
