"""What the execution tests share: small roots, and a way to run in them, here and elsewhere."""

import os
import shutil
import stat
import subprocess
import sys
from typing import NamedTuple

from lamina.archive.diff import tree_changes, upper_changes
from lamina.execution.run import Exit, Job, Stdio, start
from lamina.fs.mounting import Bind, MountPlan, Overlay
from lamina.fs.tree import FlatTree, StackedTree, TreeView
from lamina.runtime.isolation import choose
from lamina.runtime.process import Process

ISOLATIONS = ("crun", "runc", "chroot")
_SOURCES = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_APPLETS = (
    "sh cat ls id env pwd true false sleep echo head mkdir touch ip mknod ln rm hostname kill ps"
    " readlink grep stat cut wc ifconfig test tr sort tty setsid chmod mv find dd sync"
)


def make_busybox(path: str) -> None:
    """A root of one static program, as images of busybox are; /etc has neither hosts nor
    resolv.conf.
    """
    for folder in ("bin", "etc", "proc", "sys", "dev", "tmp", "root", "home/app"):
        os.makedirs(f"{path}/{folder}", mode=0o755)
    os.chmod(path, 0o755)
    os.chmod(f"{path}/tmp", 0o1777)
    shutil.copy2(shutil.which("busybox") or "/bin/busybox", f"{path}/bin/busybox")
    for applet in _APPLETS.split():
        os.symlink("busybox", f"{path}/bin/{applet}")
    write(f"{path}/etc/passwd", "root:x:0:0::/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n")
    write(f"{path}/etc/group", "root:x:0:\napps:x:1001:\naudio:x:29:app\nother:x:77:\n")


def write(path: str, text: str, mode: int = 0o644) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, mode)


def in_python(script: str, *arguments: str) -> list[str]:
    """The command line of another interpreter, in which this module can be imported."""
    return [
        sys.executable,
        "-c",
        f"import sys\nsys.path.insert(0, {_SOURCES!r})\n{script}",
        *arguments,
    ]


class Result(NamedTuple):
    code: int
    out: str
    err: str


class Rig:
    """One root as a driver would hand it over: `shape` is flat (as vfs) or overlay."""

    def __init__(self, folder: str, template: str, shape: str) -> None:
        self.folder = folder
        self.shape = shape
        self.name = os.urandom(32).hex()
        self.base = f"{folder}/base"
        self.upper = f"{folder}/upper"
        self.run_dir = f"{folder}/run"
        shutil.copytree(template, self.base, symlinks=True, copy_function=_copy)
        os.makedirs(self.run_dir, mode=0o700)
        os.makedirs(f"{folder}/work")
        if shape == "overlay":
            os.mkdir(self.upper, 0o755)

    @classmethod
    def again(cls, facts: dict[str, str]) -> "Rig":
        """The same rig in another process, by its `__dict__`."""
        made = cls.__new__(cls)
        made.__dict__.update(facts)
        return made

    def settle(self) -> "Rig":
        """No more edits of the base: from here on writes go to `upper`."""
        if self.shape == "flat":
            # Not shutil.copytree: it would read a device such as /zero, and never end.
            subprocess.run(["cp", "-a", self.base, self.upper], check=True)
        else:
            status = os.stat(self.base)
            os.utime(self.upper, ns=(status.st_atime_ns, status.st_mtime_ns))
        return self

    def plan(self) -> MountPlan:
        if self.shape == "flat":
            return MountPlan(Bind(self.upper, False))
        return MountPlan(Overlay((self.base,), self.upper, f"{self.folder}/work", ()))

    def view(self) -> TreeView:
        if self.shape == "flat":
            return FlatTree(_directory(self.upper))
        return StackedTree((_directory(self.upper), _directory(self.base)))

    def job(self, *args: str, **more: object) -> Job:
        process = Process(args, **more)  # type: ignore[arg-type]
        return Job(self.name, self.plan(), process, self.run_dir, self.upper, self.view)

    def run(self, isolation: str, *args: str, stdin: bytes | None = None, **more: object) -> Result:
        """Run to the end with pipes, whose contents must fit into them."""
        pipes = [os.pipe2(os.O_CLOEXEC) for _ in range(3)]
        (inward, feed), (out, out_end), (err, err_end) = pipes
        if stdin is not None:
            os.write(feed, stdin)
        os.close(feed)
        try:
            stdio = Stdio(inward if stdin is not None else None, out_end, err_end)
            result = self._finish(isolation, self.job(*args, **more), stdio)
        finally:
            os.close(inward)
            os.close(out_end)
            os.close(err_end)
            said = [_drain(out), _drain(err)]
        return Result(result.code, *said)

    @staticmethod
    def _finish(isolation: str, job: Job, stdio: Stdio) -> Exit:
        return start(job, choose(isolation), stdio).wait()

    def changes(self) -> list[tuple[str, str]]:
        """What `lamina diff` would show."""
        base = FlatTree(_directory(self.base))
        upper = _directory(self.upper)
        try:
            if self.shape == "flat":
                found = list(tree_changes(FlatTree(os.dup(upper)), base, suspicious=lambda _: True))
            else:
                found = list(upper_changes(upper, base))
            return [(change.kind, os.fsdecode(change.path)) for change in found]
        finally:
            os.close(upper)
            base.close()

    def traces(self) -> list[str]:
        """Everything in the writable directory that is not as the base has it, times included."""
        return sorted(
            path
            for path, facts in fingerprint(self.upper).items()
            if fingerprint(self.base).get(path) != facts
        )

    def left_over(self) -> list[str]:
        """What is still in the run directory, of any container."""
        return [
            os.path.join(folder, name)
            for folder, _, names in os.walk(self.run_dir)
            for name in names
            if os.path.basename(folder) != "filters"  # kept for all containers
        ]


def fingerprint(root: str) -> dict[str, tuple[int, ...]]:
    found = {}
    for folder, folders, files in os.walk(root):
        for name in ("", *folders, *files):
            path = os.path.join(folder, name).rstrip("/")
            status = os.lstat(path)
            size = 0 if stat.S_ISDIR(status.st_mode) else status.st_size
            found[path[len(root) :] or "/"] = (
                status.st_mode,
                status.st_uid,
                status.st_gid,
                size,
                status.st_mtime_ns,
            )
    return found


def _copy(source: str, target: str) -> None:
    """The one big program, which no test writes to, is shared between all roots."""
    if os.path.basename(source) == "busybox":
        os.link(source, target)
    else:
        shutil.copy2(source, target)


def _directory(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _drain(descriptor: int) -> str:
    data = b""
    while more := os.read(descriptor, 65536):
        data += more
    os.close(descriptor)
    return data.decode()
