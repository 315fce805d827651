"""docker's spellings of how a container is confined: `--device`, `--security-opt`, `--ipc` ...

Text to values; reads a seccomp profile's file and nothing else. What is unknown is refused: a
security option without effect would be worse than none.
"""

from collections.abc import Iterable

from lamina.errors import UsageError
from lamina.runtime.confinement import HOST, UNCONFINED, Confinement, Device

_OF_IPC = frozenset(  # those of an IPC namespace (ipc_namespaces(7))
    (
        *("kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem"),
        *("kernel.shmall", "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced"),
    )
)
_PROFILE_LIMIT = 1 << 20  # bytes; docker's own has 15,000
_ACCESS = frozenset("rwm")
_OPTIONS = "no-new-privileges, seccomp=, apparmor=, systempaths=unconfined, label=disable"


def device(text: str) -> Device:
    """`HOST[:CONTAINER[:rwm]]`, or `HOST:rwm`; raises `UsageError`."""
    source, *rest = text.split(":")
    access = "rwm"
    if rest and (len(rest) == 2 or _is_access(rest[-1])):
        access = rest.pop()
    target = rest[0] if rest else source
    fits = source.startswith("/") and target.startswith("/") and _is_access(access)
    if len(rest) > 1 or not fits:
        raise UsageError(
            f"invalid device {text[:100]!r}", hint="write it as /dev/HOST[:/dev/CONTAINER[:rwm]]"
        )
    return Device(_plain(source), _plain(target), access)


def _plain(path: str) -> str:
    """Without what means nothing in it, as `/dev/` means `/dev`; links are not asked."""
    return "/" + "/".join(part for part in path.split("/") if part not in ("", "."))


def _is_access(text: str) -> bool:
    return bool(text) and _ACCESS.issuperset(text) and len(set(text)) == len(text)


def with_security(base: Confinement, options: Iterable[str]) -> Confinement:
    """`base` with docker's `--security-opt` words; raises `UsageError` for an unknown one."""
    for option in options:
        key, separator, value = option.partition("=")
        if not separator and ":" in option:  # docker's older form
            key, _, value = option.partition(":")
        base = _with_option(base, option, key, value)
    return base


def _with_option(base: Confinement, option: str, key: str, value: str) -> Confinement:
    if key == "no-new-privileges" and value in ("", "true", "false"):
        return base._replace(no_new_privileges=value != "false")
    if key == "seccomp" and value:
        return base._replace(seccomp=_seccomp(value))
    if key == "apparmor" and value:
        return base._replace(apparmor=value)
    if option == "systempaths=unconfined":
        return base._replace(unmasked=True)
    if option in ("label=disable", "label:disable"):
        return base  # no label is given anyhow
    raise UsageError(f"unknown security option {option[:60]!r}", hint=f"there are {_OPTIONS}")


def _seccomp(value: str) -> str:
    if value == UNCONFINED:
        return value
    if value == "builtin":
        return ""
    is_json = value.lstrip().startswith("{")  # as docker's API has it
    text, what = (value, "") if is_json else (_text(value), f" {value}")
    if len(text) > _PROFILE_LIMIT:
        raise UsageError(f"the seccomp profile{what} is larger than {_PROFILE_LIMIT} bytes")
    from lamina.runtime.seccomp import check  # few bring their own

    check(text)
    return text


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read(_PROFILE_LIMIT + 1)
    except OSError as error:
        raise UsageError(f"the seccomp profile {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"the seccomp profile {path} is no text in UTF-8") from None


def sysctls(said: Iterable[tuple[str, str]], network: str, ipc: str) -> tuple[tuple[str, str], ...]:
    """Kernel parameters that belong to the container alone; raises `UsageError` for others."""
    found = tuple(said)
    for key, _ in found:
        if key.startswith("net."):
            whose = "the host's network" if network == HOST else ""
        elif key in _OF_IPC or key.startswith("fs.mqueue."):
            whose = "the host's IPC namespace" if ipc == HOST else ""
        else:
            raise UsageError(
                f"the kernel parameter {key[:60]!r} is one of the whole machine",
                hint="there are net.*, fs.mqueue.*, kernel.msg*, kernel.sem and kernel.shm*",
            )
        if whose:
            raise UsageError(f"the kernel parameter {key[:60]!r} is not allowed with {whose}")
    return found


def pid_mode(text: str) -> str:
    """`host`, or nothing for a namespace of its own; raises `UsageError`."""
    return _mode("PID", text, {"": "", "private": "", HOST: HOST})


def ipc_mode(text: str) -> str:
    """`host`, `none`, or nothing for a namespace of its own; raises `UsageError`."""
    own = {"": "", "private": "", "shareable": ""}
    return _mode("IPC", text, {**own, HOST: HOST, "none": "none"})


def uts_mode(text: str) -> str:
    """`host`, or nothing for a host name of its own; raises `UsageError`."""
    return _mode("UTS", text, {"": "", "private": "", HOST: HOST})


def user_mode(text: str) -> None:
    """Raise `UsageError` for another user namespace than the caller's own."""
    _mode("user namespace", text, {"": "", HOST: HOST})


def _mode(kind: str, text: str, known: dict[str, str]) -> str:
    if text not in known:
        choices = ", ".join(each for each in known if each)
        raise UsageError(f"there is no {kind} mode {text[:60]!r}", hint=f"choose one of {choices}")
    return known[text]
