"""Platforms, `os/architecture[/variant]`, in Go's names (containerd/platforms' rules).

Pure: what this machine is comes from the caller.
"""

import re
from typing import NamedTuple, Self

from lamina.errors import UsageError

_PART = re.compile(r"[A-Za-z0-9_.-]+", re.ASCII)
# https://go.dev/src/internal/syslist/syslist.go
_SYSTEM = re.compile(
    "aix|android|darwin|dragonfly|freebsd|hurd|illumos|ios|js|linux|nacl|netbsd|openbsd|plan9"
    "|solaris|wasip1|windows|zos"
)
_ARCHITECTURE = re.compile(
    "386|amd64|amd64p32|arm|armbe|arm64|arm64be|loong64|mips|mipsle|mips64|mips64le|mips64p32"
    "|mips64p32le|ppc|ppc64|ppc64le|riscv|riscv64|s390|s390x|sparc|sparc64|wasm"
)
# What uname calls a machine, where Go has another name for it.
_MACHINES = {
    "x86_64": ("amd64", ""),
    "i386": ("386", ""),
    "i486": ("386", ""),
    "i586": ("386", ""),
    "i686": ("386", ""),
    "aarch64": ("arm64", ""),
    "armv8l": ("arm", "v8"),
    "armv7l": ("arm", "v7"),
    "armv6l": ("arm", "v6"),
    "armv5tel": ("arm", "v5"),
    "loongarch64": ("loong64", ""),
}


class Platform(NamedTuple):
    """What an image is for; `variant` is "" where it says nothing."""

    os: str
    architecture: str
    variant: str = ""

    @classmethod
    def parse(cls, text: str, *, host: "Platform") -> Self:
        """Read `linux/arm/v7`, `linux/amd64`, `arm64` or `linux`; `host` fills in what is missing.

        Raises `UsageError`.
        """
        parts = text.split("/")
        if len(parts) > 3 or not all(_PART.fullmatch(part) for part in parts):
            raise _no_platform(text)
        if len(parts) == 1:
            return cls._of_one(text, host)
        architecture, variant = _normal(parts[1], "".join(parts[2:]))
        if len(parts) == 2 and (architecture, variant) == ("arm", "v7"):
            variant = ""
        if len(parts) == 3 and (architecture, variant) == ("arm64", ""):
            variant = "v8"
        return cls(_normal_os(parts[0]), architecture, variant)

    @classmethod
    def _of_one(cls, text: str, host: "Platform") -> Self:
        if _SYSTEM.fullmatch(_normal_os(text)):
            return cls(_normal_os(text), host.architecture, host.variant)
        architecture, variant = _normal(text, "")
        if not _ARCHITECTURE.fullmatch(architecture):
            raise _no_platform(text)
        return cls(host.os, architecture, "" if variant == "v7" else variant)

    @classmethod
    def of_machine(cls, machine: str) -> Self:
        """The Linux platform of what `uname -m` says."""
        return cls("linux", *_MACHINES.get(machine, (machine, "")))

    def normalised(self) -> Self:
        """The one spelling of equal platforms: `arm64` for `arm64/v8`, `arm/v7` for `arm`."""
        return self.__class__(_normal_os(self.os), *_normal(self.architecture, self.variant))

    def matches(self, other: "Platform") -> bool:
        """Whether both say the same, however they are spelt."""
        return self.normalised() == other.normalised()

    def __str__(self) -> str:
        return "/".join(part for part in self if part)


def _normal_os(name: str) -> str:
    name = name.lower()
    return "darwin" if name == "macos" else name


def _normal(architecture: str, variant: str) -> tuple[str, str]:
    """As `normalizeArch` of containerd/platforms."""
    architecture, variant = architecture.lower(), variant.lower()
    match architecture:
        case "i386":
            return "386", ""
        case "x86_64" | "x86-64" | "amd64":
            return "amd64", "" if variant == "v1" else variant
        case "aarch64" | "arm64":
            return "arm64", _ARM64.get(variant, variant)
        case "armhf":
            return "arm", "v7"
        case "armel":
            return "arm", "v6"
        case "arm":
            return "arm", _ARM.get(variant, variant)
    return architecture, variant


_ARM64 = {"8": "", "v8": "", "v8.0": "", "9": "v9", "9.0": "v9", "v9.0": "v9"}
_ARM = {"": "v7", "7": "v7", "5": "v5", "6": "v6", "8": "v8"}


def _no_platform(text: str) -> UsageError:
    return UsageError(f"{text[:100]!r} is no platform", hint="platforms look like linux/amd64")
