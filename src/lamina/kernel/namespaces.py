"""Namespaces and rights of the calling task."""

import errno
import os
from typing import Literal, NamedTuple

from lamina.kernel.libc import errno_now, fail, libc_call

# include/uapi/linux/sched.h
CLONE_FS = 0x00000200
CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

CAP_SYS_ADMIN = 21  # include/uapi/linux/capability.h
CAP_SYS_RESOURCE = 24
CAP_MKNOD = 27
_PR_SET_PDEATHSIG = 1
_PR_GET_SECCOMP = 21
_PR_CAPBSET_DROP = 24


def unshare(flags: int) -> None:
    """Leave the namespaces in `flags` (unshare(2)); of the calling thread alone."""
    if libc_call("unshare", flags) < 0:
        raise fail("unshare")


def setns(descriptor: int, flags: int) -> None:
    """Enter the namespace that a descriptor names (setns(2)); the calling thread alone."""
    if libc_call("setns", descriptor, flags) < 0:
        raise fail("setns")


def filters_calls() -> bool:
    """Whether this kernel filters system calls (prctl(2), PR_GET_SECCOMP)."""
    return libc_call("prctl", _PR_GET_SECCOMP, 0, 0, 0, 0) >= 0 or errno_now() != errno.EINVAL


def effective_capabilities() -> int:
    """The effective capability set as a bit mask."""
    return _capability_mask("CapEff:")


class IDRange(NamedTuple):
    """`length` IDs from `inside` on, which are those from `outside` on in the namespace around."""

    inside: int
    outside: int
    length: int


_ALL_IDS = (IDRange(0, 0, 0xFFFFFFFF),)


def id_map(kind: Literal["uid", "gid"]) -> tuple[IDRange, ...]:
    """The IDs that the calling process's user namespace has (user_namespaces(7))."""
    with open(f"/proc/self/{kind}_map", encoding="utf-8") as file:
        return tuple(IDRange(*map(int, line.split())) for line in file)


def user_namespace() -> str:
    """What sets the calling process's user namespace apart; empty in the host's own."""
    found = id_map("uid")
    return "" if found == _ALL_IDS else ",".join("-".join(map(str, each)) for each in found)


def can_set_groups() -> bool:
    """Whether supplementary groups can be set here: one's own user namespace may forbid it."""
    try:
        with open("/proc/self/setgroups", encoding="ascii") as file:
            return file.read().strip() != "deny"
    except FileNotFoundError:
        return True


def is_mapped(uid: int, gid: int) -> bool:
    """Whether a file here can belong to both."""
    kinds: tuple[tuple[Literal["uid", "gid"], int], ...] = (("uid", uid), ("gid", gid))
    return all(
        any(each.inside <= number < each.inside + each.length for each in id_map(kind))
        for kind, number in kinds
    )


def outside_uid() -> int:
    """Who the calling user is outside of its user namespace; itself where there is none."""
    uid = os.getuid()
    for each in id_map("uid"):
        if each.inside <= uid < each.inside + each.length:
            return each.outside + uid - each.inside
    return uid


def bounding_capabilities() -> int:
    """The capability bounding set as a bit mask."""
    return _capability_mask("CapBnd:")


def _capability_mask(row: str) -> int:
    with open("/proc/thread-self/status", encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith(row):
                return int(line.split()[1], 16)
    return 0


def has_capability(number: int) -> bool:
    """Whether the calling thread may use the capability of that number."""
    return bool(effective_capabilities() >> number & 1)


def set_parent_death_signal(number: int) -> None:
    """Have the kernel send this process a signal when its parent thread dies (prctl(2))."""
    if libc_call("prctl", _PR_SET_PDEATHSIG, number, 0, 0, 0) < 0:
        raise fail("prctl")


def drop_bounding(number: int) -> None:
    """Give up a capability for this process and all it starts."""
    if libc_call("prctl", _PR_CAPBSET_DROP, number, 0, 0, 0) < 0:
        raise fail("prctl")
