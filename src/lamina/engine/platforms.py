"""Which platform is meant: this machine's, unless another is asked for."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # most ask for no platform
    from lamina.values.platform import Platform

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


def host_platform() -> tuple[str, str]:
    """This machine as an image's platform: os and architecture."""
    name = os.uname().machine
    return "linux", _ARCHITECTURES.get(name, name)


def this_machine() -> "Platform":
    """The same, as a value."""
    from lamina.values.platform import Platform

    return Platform(*host_platform())


def platform_of(text: str | None) -> tuple[str, ...]:
    """The platform that `os/architecture[/variant]` means; raises `UsageError`."""
    if text is None:
        return host_platform()
    from lamina.values.platform import Platform

    return Platform.parse(text, host=this_machine())
