"""EXPOSE operands: `80`, `53/UDP`, `8000-8010/tcp`, `127.0.0.1:80:8080`. Pure."""

from lamina.errors import DockerfileError

_PROTOCOLS = ("tcp", "udp", "sctp")
_HIGHEST = 65535


def unrolled(text: str) -> list[str]:
    """The ports of one operand as `number/protocol`; raises `DockerfileError`.

    A host part is accepted and dropped, since EXPOSE publishes nothing.
    """
    numbers, _, protocol = text.partition("/")
    protocol = protocol.lower() or "tcp"
    if protocol not in _PROTOCOLS:
        raise DockerfileError(f"invalid protocol in EXPOSE {text!r}", hint="it is tcp, udp or sctp")
    first, dash, last = numbers.rpartition(":")[2].partition("-")
    low = _port(first, text)
    high = _port(last, text) if dash else low
    if low > high:
        raise DockerfileError(f"the range in EXPOSE {text!r} runs backwards")
    return [f"{number}/{protocol}" for number in range(low, high + 1)]


def _port(digits: str, text: str) -> int:
    if not (digits.isascii() and digits.isdigit()) or not 0 < int(digits[:6]) <= _HIGHEST:
        raise DockerfileError(
            f"invalid port in EXPOSE {text!r}", hint="a port is a number from 1 to 65535"
        )
    return int(digits)
