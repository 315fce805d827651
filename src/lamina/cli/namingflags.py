"""The flags about names, and what is merely noted of a container, as docker spells them."""

from lamina.cli.flags import Flag, Parsed
from lamina.engine.wishes import Named
from lamina.errors import UsageError

FLAGS = (
    Flag("add-host", "", "NAME:ADDRESS", "one more line of its /etc/hosts", True),
    Flag("annotation", "", "KEY=VALUE", "a note for the OCI runtime", True),
    Flag("dns", "", "ADDRESS", "a name server, in the place of this machine's", True),
    Flag("dns-option", "", "WORD", "an option of its resolv.conf", True),
    Flag("dns-opt", "", "WORD", "the same", True),
    Flag("dns-search", "", "DOMAIN", "a domain that names are looked for in", True),
    Flag("expose", "", "PORT[/tcp|udp]", "note a port that it listens on", True),
    Flag("sysctl", "", "KEY=VALUE", "a kernel parameter of its own namespaces", True),
)


def named(given: Parsed) -> Named:
    """What the flags ask for; raises `UsageError`."""
    return Named(
        extra_hosts=given.all("add-host"),
        annotations=dict(_pair(text, "annotation") for text in given.all("annotation")),
        dns=given.all("dns"),
        dns_opt=[*given.all("dns-option"), *given.all("dns-opt")],
        dns_search=given.all("dns-search"),
        expose=given.all("expose"),
        sysctls=dict(_pair(text, "sysctl") for text in given.all("sysctl")),
    )


def _pair(text: str, what: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise UsageError(f"invalid {what} {text[:100]!r}", hint="write it as KEY=VALUE")
    return key, value
