"""The flags that say how far a container is kept apart, as docker spells them."""

from lamina.cli.flags import Flag, Parsed
from lamina.engine.wishes import Confined
from lamina.errors import UsageError

FLAGS = (
    Flag("cap-add", "", "CAPABILITY", "give it one more, or ALL", True),
    Flag("cap-drop", "", "CAPABILITY", "take one away, or ALL", True),
    Flag("device", "", "HOST[:TARGET[:rwm]]", "show it a device of this machine", True),
    Flag("group-add", "", "GROUP", "a group that it is in besides", True),
    Flag("init", "", "", "start a small init first, which buries orphans"),
    Flag("ipc", "", "MODE", "private (the default), host, or none"),
    Flag("pid", "", "MODE", "host: see the processes of this machine (by a chroot alone, for now)"),
    Flag("privileged", "", "", "all capabilities and devices that this process has"),
    Flag("read-only", "", "", "a root that it cannot write to"),
    Flag("security-opt", "", "OPTION", "no-new-privileges, seccomp=FILE|unconfined, ...", True),
    Flag("shm-size", "", "BYTES", "the size of /dev/shm (64m)"),
    Flag("tmpfs", "", "TARGET[:OPTIONS]", "an empty directory in memory", True),
    Flag("userns", "", "MODE", "host"),
    Flag("uts", "", "MODE", "host: have the name of this machine"),
)


def confined(given: Parsed) -> Confined:
    """What the flags ask for; raises `UsageError`."""
    return Confined(
        cap_add=given.all("cap-add"),
        cap_drop=given.all("cap-drop"),
        devices=given.all("device"),
        group_add=given.all("group-add"),
        init=given.has("init"),
        ipc_mode=given.one("ipc") or "",
        pid_mode=given.one("pid") or "",
        privileged=given.has("privileged"),
        read_only=given.has("read-only"),
        security_opt=given.all("security-opt"),
        shm_size=given.one("shm-size"),
        tmpfs=dict(_tmpfs(text) for text in given.all("tmpfs")),
        userns_mode=given.one("userns") or "",
        uts_mode=given.one("uts") or "",
    )


def _tmpfs(text: str) -> tuple[str, str]:
    target, _, options = text.partition(":")
    if not target.startswith("/"):
        raise UsageError(f"invalid tmpfs {text[:100]!r}", hint="write it as /TARGET[:OPTIONS]")
    return target, options
