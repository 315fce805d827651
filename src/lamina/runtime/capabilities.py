"""Capabilities by name and number, and which of them a container's process gets.

Pure: what the caller may give is handed in. Numbers are those of capability.h.
"""

from collections.abc import Iterable

from lamina.errors import RuntimeFailure, UsageError

_BY_NUMBER = (
    *("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID"),
    *("CAP_KILL", "CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE"),
    *("CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK"),
    *("CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE"),
    *("CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE"),
    *("CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE"),
    *("CAP_AUDIT_CONTROL", "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG"),
    *("CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF"),
    *("CAP_CHECKPOINT_RESTORE",),
)
NUMBERS = {name: number for number, name in enumerate(_BY_NUMBER)}
DEFAULT = frozenset(  # docker's fourteen (moby, oci/caps/defaults.go)
    (
        *("CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID"),
        *("CAP_KILL", "CAP_MKNOD", "CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SETFCAP"),
        *("CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT"),
    )
)
ALL = "ALL"


def named(text: str) -> str:
    """The one spelling of a capability (`net_admin`, `CAP_NET_ADMIN`) or of `ALL`.

    Raises `UsageError` that suggests what may have been meant.
    """
    name = text.strip().upper()
    if name == ALL:
        return ALL
    full = name if name.startswith("CAP_") else f"CAP_{name}"
    if full in NUMBERS:
        return full
    from difflib import get_close_matches  # only who mistypes needs it

    known = [each.removeprefix("CAP_") for each in NUMBERS]
    near = get_close_matches(full.removeprefix("CAP_")[:40], known, 1)
    hint = f"did you mean {near[0]}?" if near else "capabilities(7) lists them, and there is ALL"
    raise UsageError(f"unknown capability {text[:60]!r}", hint=hint)


def granted(
    add: Iterable[str], drop: Iterable[str], *, privileged: bool, bounding: int
) -> tuple[str, ...]:
    """What a process gets of a caller whose bounding set is `bounding`, by number.

    docker's arithmetic (moby, oci/caps/utils.go), but that a privileged process loses what is
    dropped: there the flag is passed over. Of docker's own set and of ALL the caller's part is
    given; raises `RuntimeFailure` for one that was asked for by name and is not had.
    """
    added, dropped = frozenset(add), frozenset(drop)
    if ALL in added:
        wanted = frozenset(NUMBERS) - dropped
    elif ALL in dropped:
        wanted = added
    else:
        wanted = (frozenset(NUMBERS) if privileged else DEFAULT) - dropped | added
    for name in sorted(added & wanted - {ALL}):
        if not bounding >> NUMBERS[name] & 1:
            raise RuntimeFailure(
                f"the capability {name} cannot be given: this process may not have it itself",
                hint="leave it out, or run where it is allowed",
            )
    return tuple(name for name in _BY_NUMBER if name in wanted and bounding >> NUMBERS[name] & 1)
