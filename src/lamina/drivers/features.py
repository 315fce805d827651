"""What a driver's layers mean on disk, and what it can do here: found by trying, kept with a store.

A store's layers were written in one form. Another kernel, or a user namespace, may read another
one: what was deleted would come back. So what was found is recorded, and compared whenever the
driver is tried anew. Knows names and values; where they are kept is the caller's matter.
"""

import os
from typing import NamedTuple

from lamina.drivers.api import OPAQUE, Features

WHITEOUTS = "whiteouts"
REFLINK = "reflink"
NATIVE_DIFF = "native diff"
IMAGES = "images mounted"
_MEANING = frozenset({OPAQUE, WHITEOUTS})


class Changed(NamedTuple):
    """A feature that is not what it was; `meaning` when layers would be read as something else."""

    name: str
    was: str
    now: str
    meaning: bool

    def sentence(self) -> str:
        """As it may stand in a message."""
        return f"{self.name}: {self.was} before, {self.now} now"


def changed(before: Features, now: Features) -> tuple[Changed, ...]:
    """What differs of the features that both know."""
    known = dict(before)
    return tuple(
        Changed(name, known[name], value, name in _MEANING)
        for name, value in now
        if known.get(name, value) != value
    )


def reflink(folder: str) -> str:
    """Whether files can share their blocks there: `true`, or `false`."""
    from lamina.kernel.ioctl import ficlone  # once a boot

    names = [os.path.join(folder, name) for name in ("whole", "clone")]
    files = [os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600) for name in names]
    try:
        os.write(files[0], bytes(4096))
        ficlone(files[1], files[0])
    except OSError:
        return "false"
    finally:
        for number, name in zip(files, names, strict=True):
            os.close(number)
            os.unlink(name)
    return "true"
