"""What a monitor executes at the end of a container that is to be removed then: an opening.

Every opener finishes what dead ones left, and the monitor is one: there is nothing else to do. It
happens outside of the container's mount namespace, in which its root is still mounted.
"""

import os
import sys
from contextlib import suppress

from lamina.engine.config import Config
from lamina.engine.open import open_store
from lamina.errors import LaminaError
from lamina.kernel.namespaces import CLONE_NEWNS, setns

_CODE = (
    "import sys; sys.path[:] = sys.argv[1].split(chr(1));"
    " from lamina.engine.finishing import finish; finish(*sys.argv[2:])"
)
_ANY = "-"  # the driver that the store itself decides for
_OUTSIDE = 5  # a descriptor of the mount namespace; see lamina.execution.detached


def command(config: Config) -> tuple[str, ...]:
    """The command line that opens the store of these settings as we do; empty without a Python."""
    if not sys.executable:
        return ()
    path = "\1".join(os.path.abspath(each) for each in sys.path if each)
    store = (config.root, config.run_root, config.driver or _ANY, *config.storage_opts)
    return (os.path.realpath(sys.executable), "-I", "-S", "-c", _CODE, path, *store)


def finish(root: str, run_root: str, driver: str, *storage_opts: str) -> None:
    """Open and close the store; what hinders that is for the next one to tell."""
    setns(_OUTSIDE, CLONE_NEWNS)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    chosen = None if driver == _ANY else driver
    with suppress(LaminaError, OSError):
        open_store(root, run_root=run_root, driver=chosen, storage_opts=storage_opts).close()
