"""Running one command in a fresh guest, as root, in the caller's directory.

The guest sees this machine's files, without /dev, /proc, /run and /dev/shm; what it writes is
gone with it, but for what it puts into a disk that is given. The processor is emulated: anything
takes ten to twenty times as long, so nothing in there is to be timed.
"""

import os
import shlex
import subprocess
import tempfile
from typing import NamedTuple

from scripts.apt import Missing
from scripts.vm.kernel import Kernel

MODULES = ("dm-thin-pool", "loop", "ext4", "xfs", "overlay", "erofs", "virtio_blk")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# where temporary files go: / is an overlay, which can be no other overlay's upper directory
_SCRATCH = (
    "mkdir /run/scratch; truncate -s 8G /dev/shm/scratch; mkfs.ext4 -q /dev/shm/scratch",
    "mount -o loop /dev/shm/scratch /run/scratch; export TMPDIR=/run/scratch",
)
_DRIVE = "format=raw,if=virtio,cache=writeback"
_CUT = 125  # no status was written: the power went, or the guest hung


class Guest(NamedTuple):
    """What the machine is to have; `disks` are paths of images: /dev/vda, /dev/vdb and so on."""

    kernel: Kernel
    disks: tuple[str, ...] = ()
    memory: str = "3G"
    timeout: int = 900

    def run(self, *command: str, output: int | None = None) -> int:
        """The exit status of `command`; 125 when the guest ended before it did.

        What it writes goes to `output`, by default to ours. Raises `Missing` where no guest can
        be started.
        """
        with tempfile.TemporaryDirectory(prefix="lamina-vm-") as job:
            with open(f"{job}/script", "w", encoding="utf-8") as file:
                file.write(self._script(command))
            try:
                subprocess.run(
                    self._machine(job),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    timeout=self.timeout,
                    check=True,
                )
            except subprocess.TimeoutExpired:
                return _CUT
            except (OSError, subprocess.CalledProcessError) as error:
                raise Missing(f"the virtual machine does not start: {error}") from error
            return _status(f"{job}/status")

    def _script(self, command: tuple[str, ...]) -> str:
        modules = self.kernel.modules
        place = f"/lib/modules/{os.path.basename(modules)}"
        kept = {
            name: value
            for name, value in os.environ.items()
            if name.startswith(("LAMINA_", "PYTEST_"))
        }
        lines = [
            f"export PATH={_PATH} HOME=/root TERM=dumb LC_ALL=C.UTF-8 LAMINA_IN_GUEST=1",
            "echo 0 >/proc/sys/kernel/printk",
            *(f"export {name}={shlex.quote(value)}" for name, value in kept.items()),
            "ulimit -n 20000",
            f"mkdir -p /lib/modules; ln -sfn {shlex.quote(modules)} {place}",
            f"modprobe -a {' '.join(MODULES)}",
            "ip link set lo up 2>/dev/null",
            *_SCRATCH,
            f"(cd {shlex.quote(os.getcwd())} && {shlex.join(command)}) </dev/null >/dev/ttyS0 2>&1",
            "echo $? >/run/job/status",
            "sync; echo o >/proc/sysrq-trigger; sleep 60",
        ]
        return "\n".join(lines) + "\n"

    def _machine(self, job: str) -> list[str]:
        sharing = "security_model=none"
        return [
            "qemu-system-x86_64",
            *("-M", "pc", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2"),
            *("-m", self.memory, "-nodefaults", "-no-user-config", "-display", "none"),
            *("-no-reboot", "-kernel", self.kernel.image, "-initrd", self.kernel.initrd),
            "-append",
            "console=ttyS0 quiet panic=-1 loglevel=3 mitigations=off",
            *("-serial", "stdio"),
            "-virtfs",
            f"local,path=/,mount_tag=host,{sharing},readonly=on,multidevs=remap",
            *("-virtfs", f"local,path={job},mount_tag=job,{sharing}"),
            *(part for disk in self.disks for part in ("-drive", f"file={disk},{_DRIVE}")),
        ]


def _status(path: str) -> int:
    try:
        with open(path, encoding="ascii") as file:
            return int(file.read())
    except (FileNotFoundError, ValueError):
        return _CUT
