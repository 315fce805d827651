"""What a container's /etc/hosts, /etc/hostname and /etc/resolv.conf say.

With the host's network they are the host's own at the moment of the start, as docker does; a
loopback resolver (127.0.0.53) in them works then. Without a network only `localhost` is known.
"""

import os

_LIMIT = 1 << 20  # bytes; a longer file is cut, glibc reads no more either
_LOCALHOST = b"""\
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
"""
NAMES = ("hosts", "hostname", "resolv.conf")


def contents(hostname: str, network: str) -> tuple[tuple[str, bytes], ...]:
    """Pairs of a name in /etc and its bytes; raises OSError when the host's cannot be read."""
    hosts = _read("/etc/hosts") if network == "host" else b""
    return (
        ("hosts", hosts or _LOCALHOST),
        ("hostname", os.fsencode(hostname) + b"\n"),
        ("resolv.conf", _read("/etc/resolv.conf")),
    )


def _read(path: str) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return b""
    try:
        return os.read(descriptor, _LIMIT)
    finally:
        os.close(descriptor)
