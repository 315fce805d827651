"""Filters of system calls as the kernel takes them (seccomp(2)), made by libseccomp.

The library comes with crun and runc; where it is not there, there is no program to be had.
Knows no profile of docker's and no container.
"""

import ctypes
import errno
import os

from lamina.kernel.libc import fail
from lamina.values.syscallfilter import Argument, Filter, Rule

_CTL_OPTIMIZE, _BINARY_TREE = 8, 2  # libseccomp, seccomp_attr_set(3)
_UNKNOWN = -1  # __NR_SCMP_ERROR
_NAME = "libseccomp.so.2"
_ACTIONS = {  # seccomp.h of libseccomp; those with data take it in their lower half
    "SCMP_ACT_KILL": 0x00000000,
    "SCMP_ACT_KILL_THREAD": 0x00000000,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_ERRNO": 0x00050000,
    "SCMP_ACT_TRACE": 0x7FF00000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_ALLOW": 0x7FFF0000,
}
_WITH_DATA = ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE")
_COMPARISONS = ("NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ")  # enum scmp_compare, from 1


class _Comparison(ctypes.Structure):
    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("datum_a", ctypes.c_uint64),
        ("datum_b", ctypes.c_uint64),
    )


def program(wanted: Filter) -> bytes | None:
    """The filter's program, an array of `struct sock_filter`; None without libseccomp, and where
    the filter wants flags or somebody to decide, which a program alone cannot say.

    Calls and architectures that the library does not know are passed over, as both runtimes do: to
    them the filter's own action applies. Raises OSError.
    """
    actions = {wanted.action, *(rule.action for rule in wanted.rules)}
    if wanted.flags or not actions <= _ACTIONS.keys():
        return None
    try:
        library = ctypes.CDLL(_NAME)
    except OSError:
        return None
    library.seccomp_init.restype = ctypes.c_void_p
    address = library.seccomp_init(_action(wanted))
    if not address:
        raise fail("seccomp_init")
    context = ctypes.c_void_p(address)
    try:
        return _built(library, context, wanted)
    finally:
        library.seccomp_release(context)


def _built(library: ctypes.CDLL, context: ctypes.c_void_p, wanted: Filter) -> bytes:
    library.seccomp_attr_set(context, _CTL_OPTIMIZE, _BINARY_TREE)  # not by libseccomp before 2.5
    for name in wanted.architectures:
        token = library.seccomp_arch_resolve_name(_plain(name))
        if token:
            _check("seccomp_arch_add", library.seccomp_arch_add(context, token), errno.EEXIST)
    for rule in wanted.rules:
        if _action(rule) != _action(wanted):  # which the library refuses, and which says nothing
            _add(library, context, rule, _action(rule))
    descriptor = os.memfd_create("seccomp")
    try:
        _check("seccomp_export_bpf", library.seccomp_export_bpf(context, descriptor))
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    finally:
        os.close(descriptor)


def _add(library: ctypes.CDLL, context: ctypes.c_void_p, rule: Rule, action: int) -> None:
    for name in rule.names:
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number == _UNKNOWN:
            continue
        for arguments in _alternatives(rule.arguments):
            compared = [
                _Comparison(each.place, _operator(each.op), each.value, each.value_two)
                for each in arguments
            ]
            many = len(compared)
            code = library.seccomp_rule_add_array(
                context, ctypes.c_uint32(action), number, many, (_Comparison * many)(*compared)
            )
            _check("seccomp_rule_add", code)


def _alternatives(arguments: tuple[Argument, ...]) -> list[tuple[Argument, ...]]:
    """What is compared at once: all, or where one argument is compared twice (which the library
    cannot) each by itself, as runc does.
    """
    places = {each.place for each in arguments}
    return [arguments] if len(places) == len(arguments) else [(each,) for each in arguments]


def _action(said: Filter | Rule) -> int:
    data = errno.EPERM if said.error is None else said.error
    return _ACTIONS[said.action] | (data & 0xFFFF if said.action in _WITH_DATA else 0)


def _operator(name: str) -> int:
    return _COMPARISONS.index(name.removeprefix("SCMP_CMP_")) + 1


def _plain(architecture: str) -> bytes:
    return architecture.removeprefix("SCMP_ARCH_").lower().encode()


def _check(call: str, code: int, ignored: int = 0) -> None:
    if code and -code != ignored:
        raise OSError(-code, f"{call}: {os.strerror(-code)}")
