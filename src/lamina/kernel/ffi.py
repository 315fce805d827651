"""The C library by ctypes, which takes 3 ms to load: imported by the first call that needs it."""

import ctypes

_LIBC = ctypes.CDLL(None, use_errno=True)
_syscall = _LIBC.syscall
_syscall.restype = ctypes.c_long

Argument = int | bytes | ctypes.Array[ctypes.c_char] | None


def errno() -> int:
    """The number that the last call of this thread left."""
    return ctypes.get_errno()


def buffer(content: bytes | int) -> ctypes.Array[ctypes.c_char]:
    """Memory that the kernel may write to: with that content, or of so many zeros."""
    if isinstance(content, int):
        return ctypes.create_string_buffer(content)
    return ctypes.create_string_buffer(content, len(content))


def syscall(number: int, *arguments: Argument) -> int:
    """A system call by its number."""
    return int(_syscall(ctypes.c_long(number), *_converted(arguments)))


def function(name: str, *arguments: Argument) -> int:
    """A function of the library by its name."""
    return int(getattr(_LIBC, name)(*_converted(arguments)))


def _converted(arguments: tuple[Argument, ...]) -> list[object]:
    return [
        ctypes.c_long(argument) if isinstance(argument, int) else argument for argument in arguments
    ]
