"""The first process in a chroot; run as a program of its own: `python -I -S <this file> NUMBER`.

Imports nothing of Lamina. Descriptors from NUMBER on are none of its own. Reads one JSON document
from descriptor 3, enters the root, becomes the user and executes the command. What goes wrong
before that is written to descriptor 4 as `<exit code> <sentence>`; a command that starts closes it
without a word.

A supervisor stays outside of the root. When the engine dies (descriptor 3's other end closes) it
kills all that it started. Should itself be killed: as the first process of a process namespace it
takes all of that with it; where there can be no such namespace there are two supervisors, and
whoever is left kills everything. Descriptor 5 stays open until the last of them is gone.

Everything is imported before the root is entered: nothing of the image is ever loaded.

Does not protect against a process that is root inside the chroot: a chroot is no container.
"""

import ctypes
import errno
import json
import os
import resource
import select
import signal
import sys

_REQUEST, _REPORT = 3, 4
_KEPT_OPEN = 5  # from here on what lives as long as we do, and locks
_OURS = (  # what nobody can catch, and what means this program itself
    *(signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD),
    *(signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL),
)
_FORWARDED = signal.valid_signals() - {*_OURS}
_MS_QUIET = 2 | 4 | 8  # MS_NOSUID, MS_NODEV, MS_NOEXEC of mount(2)
_MS_RDONLY, _MS_REMOUNT, _MS_BIND, _MS_REC = 1, 32, 4096, 16384
_CAPABILITY_VERSION_3 = 0x20080522  # linux/capability.h
_PR_SET_PDEATHSIG = 1
_PR_SET_SECCOMP, _FILTER, _INSTRUCTION = 22, 2, 8
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_CHILD_SUBREAPER = 36


def main() -> int:
    """Start the command, wait for it, and end as it ended; all signals are blocked at first."""
    os.closerange(int(sys.argv[1]), os.sysconf("SC_OPEN_MAX"))  # what the caller left open
    length = int.from_bytes(_exact(8), "big")
    request = json.loads(_exact(length))
    if request["alone"]:
        _show_processes(request["root"])
    _hide(request)
    if request["alone"]:
        return _supervise(request, _REQUEST)
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    return _supervise_doubly(request)


def _show_processes(root: str) -> None:
    """Let /proc be that of the namespace; where that is refused the host's is there already."""
    ctypes.CDLL(None).mount(b"proc", os.fsencode(f"{root}/proc"), b"proc", _MS_QUIET, None)


def _hide(request: dict) -> None:  # type: ignore[type-arg]
    """Cover and make read-only what the caller names of the kernel's own /proc and /sys."""
    mount = ctypes.CDLL(None).mount
    for path in request["readonly"]:
        place = os.fsencode(request["root"] + path)
        if os.path.exists(place) and not mount(place, place, None, _MS_BIND | _MS_REC, None):
            flags = _MS_REMOUNT | _MS_BIND | _MS_RDONLY | _MS_QUIET
            mount(place, place, None, flags, None)
    for path in request["masked"]:
        place = os.fsencode(request["root"] + path)
        if os.path.isdir(place):
            mount(b"tmpfs", place, b"tmpfs", _MS_RDONLY | _MS_QUIET, b"size=4k,mode=555")
        elif os.path.exists(place):
            mount(os.fsencode(request["root"] + "/dev/null"), place, None, _MS_BIND, None)


def _exact(size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = os.read(_REQUEST, size - len(data))
        if not more:
            os._exit(125)
        data += more
    return data


def _supervise_doubly(request: dict) -> int:  # type: ignore[type-arg]
    """Under an outer supervisor, to which everything falls should the inner one be killed."""
    outer = os.getpid()
    inner = os.fork()
    if inner == 0:
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        os._exit(_supervise(request, _REQUEST, os.pidfd_open(outer)))
    os.close(_REQUEST)
    os.close(_REPORT)
    return _forwarding_until(inner)


def _supervise(request: dict, *lines: int) -> int:  # type: ignore[type-arg]
    """Until the command has ended or one of `lines` says that nobody wants it any more."""
    child = os.fork()
    if child == 0:
        _start(request)
    os.close(_REPORT)
    return _forwarding_until(child, *lines)


def _forwarding_until(child: int, *lines: int) -> int:
    """Hand signals on to the child till it ends; then nothing that was started is left."""
    handle = os.pidfd_open(child)
    for number in _FORWARDED:
        signal.signal(number, lambda got, _frame: signal.pidfd_send_signal(handle, got))
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    _await(child, handle, lines)
    signal.pthread_sigmask(signal.SIG_BLOCK, _FORWARDED)
    signal.pidfd_send_signal(handle, signal.SIGKILL)  # it may be a corpse already
    _, status = os.waitpid(child, 0)
    _kill_all()
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def _await(child: int, handle: int, lines: tuple[int, ...]) -> None:
    """Wait for the child's or a line's end; meanwhile bury whom others left to us."""
    wakened, wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    poller = select.poll()
    for descriptor in (handle, wakened, *lines):
        poller.register(descriptor, select.POLLIN | select.POLLHUP)
    while True:
        ready = {descriptor for descriptor, _ in poller.poll()}
        if ready - {wakened}:
            return
        os.read(wakened, 4096)
        _bury(child)


def _bury(child: int) -> None:
    """Reap every orphan that has ended, until it is the child, whose status is still wanted."""
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None or ended.si_pid == child:
            return
        os.waitpid(ended.si_pid, 0)


def _kill_all() -> None:
    """Kill whatever is left of the container: every process below this one."""
    while True:
        for pid in _children():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _children() -> list[int]:
    if os.getpid() == 1:
        return [-1]  # all of the namespace
    with open("/proc/thread-self/children", encoding="ascii") as file:
        return [int(pid) for pid in file.read().split()]


def _start(request: dict) -> None:  # type: ignore[type-arg]
    try:
        os.close(_REQUEST)
        os.closerange(_KEPT_OPEN, int(sys.argv[1]))
        os.set_inheritable(_REPORT, False)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):  # ignored by Python, and then for ever
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        _limit(request)
        _enter(request)
        _become(request)
        # Last: the kernel forgets it when the user changes (prctl(2)).
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        _execute(request)
    except OSError as error:
        _fail(125, f"{error.strerror}: {error.filename or ''}".rstrip(": "))
    except MemoryError:
        _fail(125, "its limits leave no memory to start it")


def _limit(request: dict) -> None:  # type: ignore[type-arg]
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    for name, number, soft, hard in request["rlimits"]:
        try:
            resource.setrlimit(number, (soft, hard))
        except ValueError as error:  # what Python makes of EPERM
            _fail(125, f"the limit {name} cannot be {soft}:{hard}: {error}")
    if request["oom_score_adj"] is not None:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write(str(request["oom_score_adj"]))


def _enter(request: dict) -> None:  # type: ignore[type-arg]
    os.setsid()
    os.chroot(request["root"])
    os.chdir("/")
    os.makedirs(request["cwd"], exist_ok=True)
    os.chdir(request["cwd"])


def _become(request: dict) -> None:  # type: ignore[type-arg]
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in range(64):
        if capability not in request["kept"]:
            libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    _bequeath_nothing(libc)
    if request["no_new_privileges"]:
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _filter_calls(libc, bytes.fromhex(request["filter"]))  # while it may: another user may not
    try:
        os.setgroups(request["groups"])
    except PermissionError:
        if request["groups"]:
            raise
    os.setgid(request["gid"])
    os.setuid(request["uid"])
    os.umask(0o022)


class _Program(ctypes.Structure):  # struct sock_fprog of linux/filter.h
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def _filter_calls(libc: ctypes.CDLL, program: bytes) -> None:
    """Let the kernel refuse system calls from here on (seccomp(2)); an empty program does not."""
    wanted = _Program(len(program) // _INSTRUCTION, program)
    if program and libc.prctl(_PR_SET_SECCOMP, _FILTER, ctypes.byref(wanted), 0, 0):
        error = ctypes.get_errno()
        raise OSError(error, f"the filter of system calls: {os.strerror(error)}")


def _bequeath_nothing(libc: ctypes.CDLL) -> None:
    """Empty the inheritable set, and the ambient one with it: root's programs get what is in it,
    whatever the bounding set says (capabilities(7)).
    """
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    data = (ctypes.c_uint32 * 6)()  # effective, permitted and inheritable, twice 32 bits of each
    if libc.capget(header, data) == 0:
        data[2] = data[5] = 0
        if libc.capset(header, data) == 0:
            return
    error = ctypes.get_errno()
    raise OSError(error, os.strerror(error))


def _execute(request: dict) -> None:  # type: ignore[type-arg]
    args = request["args"]
    env = dict(item.split("=", 1) for item in request["env"])
    last: OSError = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    for path in _candidates(args[0], env.get("PATH", "")):
        try:
            os.execve(path, args, env)
        except OSError as error:
            if not isinstance(last, PermissionError):
                last = error
    missing = last.errno in (errno.ENOENT, errno.ENOTDIR)
    sought = missing and "/" not in args[0]
    words = "executable file not found in $PATH" if sought else str(last.strerror).lower()
    _fail(127 if missing else 126, words)


def _candidates(command: str, path: str) -> list[str]:
    if "/" in command:
        return [command]
    return [f"{folder}/{command}" for folder in path.split(":") if folder]


def _fail(code: int, words: str) -> None:
    os.write(_REPORT, f"{code} {words}".encode())
    os._exit(code)


if __name__ == "__main__":
    sys.exit(main())
