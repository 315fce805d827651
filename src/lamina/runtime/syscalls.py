"""The system calls that a container may make when nothing is said: docker's list.

After moby's profiles/seccomp, but that a call of which nothing is known here fails as one that
the kernel does not have (ENOSYS), so that programs take the older one; what is known and refused
fails for want of a right (EPERM). The rest of a filter's words: libseccomp's and the OCI runtime
specification's (config-linux.md). Knows no profile that somebody brings (lamina.runtime.seccomp).
"""

import errno
from typing import NamedTuple

from lamina.spec.strictjson import Json
from lamina.values.syscallfilter import Argument, Filter, Rule

# what uname(2) says, as profiles name it: by itself, and in seccomp's words
MACHINES = {
    "x86_64": ("amd64", "SCMP_ARCH_X86_64"),
    "aarch64": ("arm64", "SCMP_ARCH_AARCH64"),
    "ppc64le": ("ppc64le", "SCMP_ARCH_PPC64LE"),
    "s390x": ("s390x", "SCMP_ARCH_S390X"),
    "riscv64": ("riscv64", "SCMP_ARCH_RISCV64"),
}
_ALSO = {  # whose programs a machine executes, too
    "x86_64": ("SCMP_ARCH_X86", "SCMP_ARCH_X32"),
    "aarch64": ("SCMP_ARCH_ARM",),
    "s390x": ("SCMP_ARCH_S390",),
}

_FILES = """
    access chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3
    faccessat faccessat2 fadvise64 fadvise64_64 fallocate fchdir fchmod fchmodat fchmodat2 fchown
    fchown32 fchownat fcntl fcntl64 fdatasync flock fstat fstat64 fstatat64 fstatfs fstatfs64 fsync
    ftruncate ftruncate64 futimesat getcwd getdents getdents64 ioctl lchown lchown32 link linkat
    _llseek lseek lstat lstat64 mkdir mkdirat mknod mknodat name_to_handle_at newfstatat open openat
    openat2 pipe pipe2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead readlink
    readlinkat readv rename renameat renameat2 rmdir sendfile sendfile64 splice stat stat64 statfs
    statfs64 statx symlink symlinkat sync sync_file_range syncfs tee truncate truncate64 umask
    unlink unlinkat utime utimensat utimensat_time64 utimes vmsplice write writev
    fgetxattr flistxattr fremovexattr fsetxattr getxattr getxattrat lgetxattr listxattr listxattrat
    llistxattr lremovexattr lsetxattr removexattr removexattrat setxattr setxattrat
    fanotify_mark inotify_add_watch inotify_init inotify_init1 inotify_rm_watch
    landlock_add_rule landlock_create_ruleset landlock_restrict_self
"""
_WAITING = """
    _newselect epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2
    epoll_wait epoll_wait_old eventfd eventfd2 io_cancel io_destroy io_getevents io_pgetevents
    io_pgetevents_time64 io_setup io_submit poll ppoll ppoll_time64 pselect6 pselect6_time64 select
    futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake get_robust_list
    set_robust_list membarrier restart_syscall rseq
"""
_MEMORY = """
    brk cachestat madvise map_shadow_stack memfd_create memfd_secret mincore mlock mlock2 mlockall
    mmap mmap2 mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free
    pkey_mprotect remap_file_pages
"""
_PROCESSES = """
    capget capset execve execveat exit exit_group fork get_thread_area getcpu getegid getegid32
    geteuid geteuid32 getgid getgid32 getgroups getgroups32 getpgid getpgrp getpid getppid
    getpriority getresgid getresgid32 getresuid getresuid32 getrlimit getrusage getsid gettid getuid
    getuid32 ioprio_get ioprio_set kill pidfd_open pidfd_send_signal prctl prlimit64
    process_mrelease sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr
    sched_getparam sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64
    sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp
    set_thread_area set_tid_address setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32
    setgroups setgroups32 setpgid setpriority setregid setregid32 setresgid setresgid32 setresuid
    setresuid32 setreuid setreuid32 setrlimit setsid setuid setuid32 tgkill times tkill ugetrlimit
    uname vfork wait4 waitid waitpid
"""
_SIGNALS_AND_TIME = """
    alarm pause rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend
    rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaltstack signalfd signalfd4
    sigprocmask sigreturn uretprobe
    adjtimex clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime
    clock_gettime64 clock_nanosleep clock_nanosleep_time64 getitimer gettimeofday nanosleep
    setitimer time timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64
    timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime
    timerfd_settime64
"""
_TALKING = """
    accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg
    recvmmsg_time64 recvmsg send sendmmsg sendmsg sendto setsockopt shutdown socketcall socketpair
    ipc mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend
    mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd semctl semget semop semtimedop
    semtimedop_time64 shmat shmctl shmdt shmget
    getrandom sysinfo
"""
_ALWAYS = " ".join((_FILES, _WAITING, _MEMORY, _PROCESSES, _SIGNALS_AND_TIME, _TALKING)).split()
_OF_MACHINE = {
    "x86_64": "arch_prctl modify_ldt",
    "aarch64": """
        arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls sync_file_range2
    """,
    "ppc64le": "swapcontext sync_file_range2",
    "s390x": "s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr",
    "riscv64": "riscv_flush_icache riscv_hwprobe",
}
_BY_CAPABILITY = {
    "CAP_BPF": "bpf",
    "CAP_DAC_READ_SEARCH": "open_by_handle_at",
    "CAP_PERFMON": "perf_event_open",
    "CAP_SYS_ADMIN": """
        bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount
        mount_setattr move_mount open_tree perf_event_open quotactl quotactl_fd setdomainname
        sethostname setns syslog umount umount2 unshare
    """,
    "CAP_SYS_BOOT": "reboot",
    "CAP_SYS_CHROOT": "chroot",
    "CAP_SYS_MODULE": "delete_module finit_module init_module",
    "CAP_SYS_NICE": "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    "CAP_SYS_PACCT": "acct",
    "CAP_SYS_PTRACE": "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev",
    "CAP_SYS_RAWIO": "ioperm iopl",
    "CAP_SYS_TIME": "clock_settime clock_settime64 settimeofday stime",
    "CAP_SYS_TTY_CONFIG": "vhangup",
    "CAP_SYSLOG": "syslog",
}
_NEVER = """
    _sysctl add_key bdflush create_module get_kernel_syms io_uring_enter io_uring_register
    io_uring_setup kexec_file_load kexec_load keyctl migrate_pages move_pages nfsservctl pivot_root
    query_module request_key swapoff swapon sysfs uselib userfaultfd ustat vm86 vm86old
"""
_ALLOW, _REFUSE = "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"
_HALFWAY = ("clone", "clone3")  # refused by what is asked of them, or as not there: see below
_NEW_NAMESPACES = 0x7E020000  # all flags of clone(2) that make one, but for the time's
_PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)  # Linux, of 32 bits, uname 2.6, a query
_AF_VSOCK = 40  # between machines and their host: it passes by every namespace
_PTRACE_SINCE = (4, 8)  # before, a traced process could make the calls that a filter refuses


class Machine(NamedTuple):
    """What decides which rules hold: uname's machine, the kernel's version, capabilities."""

    name: str
    kernel: tuple[int, int]
    capabilities: frozenset[str]


def default(machine: Machine) -> Filter:
    """The filter for a process that has these capabilities."""
    granted = {
        name
        for capability in machine.capabilities & _BY_CAPABILITY.keys()
        for name in _BY_CAPABILITY[capability].split()
    }
    known = {name for names in _BY_CAPABILITY.values() for name in names.split()}
    allowed = {*_ALWAYS, *_OF_MACHINE.get(machine.name, "").split(), *granted}
    if machine.kernel >= _PTRACE_SINCE or "CAP_SYS_PTRACE" in machine.capabilities:
        allowed.add("ptrace")
    refused = {*_NEVER.split(), *known} - allowed - {*_HALFWAY}
    rules = (
        Rule(tuple(sorted(allowed)), _ALLOW),
        Rule(tuple(sorted(refused)), _REFUSE, errno.EPERM),
        *_by_argument(machine),
    )
    return Filter(_REFUSE, errno.ENOSYS, architectures(machine), rules)


def architectures(machine: Machine) -> tuple[str, ...]:
    """The machine's own and those whose programs it executes, too."""
    own = MACHINES.get(machine.name)
    return (own[1], *_ALSO.get(machine.name, ())) if own else ()


def _by_argument(machine: Machine) -> list[Rule]:
    """Calls that depend on what they are asked; another personality is none that is known.

    clone3(2) hides its flags from a filter: as if it were not there, clone(2) is taken.
    """
    rules = [_if("personality", 0, "EQ", value, _ALLOW) for value in _PERSONALITIES]
    rules.append(_if("socket", 0, "NE", _AF_VSOCK, _ALLOW))
    rules.append(_if("socket", 0, "EQ", _AF_VSOCK, _REFUSE))
    if "CAP_SYS_ADMIN" not in machine.capabilities:
        place = int(machine.name == "s390x")
        rules.append(_if("clone", place, "MASKED_EQ", _NEW_NAMESPACES, _ALLOW))
        flags = (1 << bit for bit in range(32) if _NEW_NAMESPACES >> bit & 1)
        rules += [_if("clone", place, "MASKED_EQ", flag, _REFUSE, flag) for flag in flags]
    return rules


def _if(name: str, place: int, op: str, value: int, action: str, value_two: int = 0) -> Rule:
    error = errno.EPERM if action == _REFUSE else None
    return Rule((name,), action, error, (Argument(place, f"SCMP_CMP_{op}", value, value_two),))


def rendered(wanted: Filter) -> dict[str, Json]:
    """The `linux.seccomp` object of the OCI runtime specification."""
    found: dict[str, Json] = {"defaultAction": wanted.action}
    if wanted.error is not None:
        found["defaultErrnoRet"] = wanted.error
    if wanted.architectures:
        found["architectures"] = list(wanted.architectures)
    if wanted.flags:
        found["flags"] = list(wanted.flags)
    found["syscalls"] = [_rendered(rule) for rule in wanted.rules]
    return found


def _rendered(rule: Rule) -> Json:
    found: dict[str, Json] = {"names": list(rule.names), "action": rule.action}
    if rule.error is not None:
        found["errnoRet"] = rule.error
    if rule.arguments:
        found["args"] = [
            {
                "index": each.place,
                "value": each.value,
                "valueTwo": each.value_two,
                "op": each.op,
            }
            for each in rule.arguments
        ]
    return found
