"""How system calls without a Python wrapper are made: one function, errno to OSError."""

import ctypes
import os

_LIBC = ctypes.CDLL(None, use_errno=True)
_syscall = _LIBC.syscall
_syscall.restype = ctypes.c_long

# Calls from 424 on have one number on every architecture (include/uapi/asm-generic/unistd.h);
# older ones do not, so they go through libc's own wrappers.
OPEN_TREE = 428
MOVE_MOUNT = 429
FSOPEN = 430
FSCONFIG = 431
FSMOUNT = 432
OPENAT2 = 437
MOUNT_SETATTR = 442


def fail(call: str, subject: str | bytes | None = None) -> OSError:
    """The OSError for the errno that libc just set, naming what it was about."""
    number = ctypes.get_errno()
    name = os.fsdecode(subject) if subject is not None else call
    return OSError(number, f"{call}: {os.strerror(number)}", name)


def syscall(number: int, *arguments: int | bytes | ctypes.Array[ctypes.c_char] | None) -> int:
    """Make a system call; -1 on failure with errno kept for `fail`."""
    converted = [
        ctypes.c_long(argument) if isinstance(argument, int) else argument for argument in arguments
    ]
    return int(_syscall(ctypes.c_long(number), *converted))


def libc_call(name: str, *arguments: int | bytes | ctypes.Array[ctypes.c_char] | None) -> int:
    """Call a function of libc that has no Python wrapper; -1 on failure, errno kept for `fail`."""
    converted = [
        ctypes.c_long(argument) if isinstance(argument, int) else argument for argument in arguments
    ]
    return int(getattr(_LIBC, name)(*converted))
