"""How system calls without a Python wrapper are made: one function, errno to OSError."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a command that only looks calls nothing of this
    import ctypes

    from lamina.kernel.ffi import Argument

# Calls from 424 on have one number on every architecture (include/uapi/asm-generic/unistd.h);
# older ones do not, so they go through libc's own wrappers.
OPEN_TREE = 428
MOVE_MOUNT = 429
FSOPEN = 430
FSCONFIG = 431
FSMOUNT = 432
OPENAT2 = 437
MOUNT_SETATTR = 442


def errno_now() -> int:
    """The errno that libc just set."""
    from lamina.kernel import ffi

    return ffi.errno()


def fail(call: str, subject: str | bytes | None = None) -> OSError:
    """The OSError for the errno that libc just set, naming what it was about."""
    number = errno_now()
    name = os.fsdecode(subject) if subject is not None else call
    return OSError(number, f"{call}: {os.strerror(number)}", name)


def buffer(content: bytes | int) -> "ctypes.Array[ctypes.c_char]":
    """Memory that the kernel may write to: with that content, or of so many zeros."""
    from lamina.kernel import ffi

    return ffi.buffer(content)


def syscall(number: int, *arguments: "Argument") -> int:
    """Make a system call; -1 on failure with errno kept for `fail`."""
    from lamina.kernel import ffi

    return ffi.syscall(number, *arguments)


def libc_call(name: str, *arguments: "Argument") -> int:
    """Call a function of libc that has no Python wrapper; -1 on failure, errno kept for `fail`."""
    from lamina.kernel import ffi

    return ffi.function(name, *arguments)
