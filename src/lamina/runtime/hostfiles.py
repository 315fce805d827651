"""What a container's /etc/hosts, /etc/hostname and /etc/resolv.conf say.

With the host's network they are the host's own at the moment of the start, as docker does; a
loopback resolver (127.0.0.53) in them works then. Without a network only `localhost` is known.
The container's own name leads to itself (sudo, Java and mail servers look it up), as in docker's
containers with an address of their own. What the caller says of names is added, or stands in the
place of the host's own.
"""

import os

from lamina.runtime.naming import Naming
from lamina.runtime.process import Process

_LIMIT = 1 << 20  # bytes; a longer file is cut, glibc reads no more either
_LOCALHOST = b"""\
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
"""
NAMES = ("hosts", "hostname", "resolv.conf")


def contents(process: Process) -> tuple[tuple[str, bytes], ...]:
    """Pairs of a name in /etc and its bytes; raises OSError when the host's cannot be read."""
    hosts = _read("/etc/hosts") if process.network == "host" else b""
    return (
        ("hosts", _hosts(hosts or _LOCALHOST, process)),
        ("hostname", os.fsencode(process.hostname) + b"\n"),
        ("resolv.conf", _resolvers(_read("/etc/resolv.conf"), process.naming)),
    )


def _hosts(known: bytes, process: Process) -> bytes:
    said = process.naming.hosts
    named = {os.fsencode(name) for name, _ in said}
    for line in known.splitlines():
        named.update(line.partition(b"#")[0].split()[1:])
    rows = [f"{address}\t{name}\n".encode() for name, address in said]
    own = os.fsencode(process.hostname)
    if own and own not in named:
        rows.append(b"127.0.0.1\t" + own + b"\n")
    return known.rstrip(b"\n") + b"\n" + b"".join(rows) if rows else known


def _resolvers(known: bytes, naming: Naming) -> bytes:
    """The host's, with each kind of line replaced that something else is said of.

    A search for `.` alone is docker's word for none.
    """
    said = {
        "search": () if naming.search == (".",) else naming.search,
        "nameserver": naming.servers,
        "options": naming.options,
    }
    replaced = {key for key, words in said.items() if words}
    replaced |= {"search", "domain"} if naming.search else set()
    if not replaced:
        return known
    lines = [line for line in known.splitlines() if _keyword(line) not in replaced]
    lines += [f"nameserver {address}".encode() for address in naming.servers]
    for key in ("search", "options"):
        if said[key]:
            lines.append(" ".join((key, *said[key])).encode())
    return b"\n".join(lines) + b"\n"


def _keyword(line: bytes) -> str:
    words = line.split(None, 1)
    return words[0].decode("ascii", "replace") if words else ""


def _read(path: str) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return b""
    try:
        return os.read(descriptor, _LIMIT)
    finally:
        os.close(descriptor)
