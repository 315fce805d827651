"""Where an image's name may be read from: mirrors first, then the registry itself. Pure.

The rules are those of containers-registries.conf(5), version 2, and docker's `registry-mirrors`.
"""

from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from lamina.errors import AccessRefused, ConfigurationError, InvalidReference
from lamina.values.reference import Reference, is_short

USES = ("all", "digest-only", "tag-only")


class Mirror(NamedTuple):
    """Another place for the same images; `use` is one of `USES`."""

    location: str
    insecure: bool = False
    use: str = "all"


class Rule(NamedTuple):
    """What holds for the names that begin with `prefix`; `origin` is the file that says so.

    `location` takes the prefix's place; "" leaves the name as it is.
    """

    prefix: str
    location: str
    origin: str
    insecure: bool = False
    blocked: bool = False
    mirrors: tuple[Mirror, ...] = ()


class Rules(NamedTuple):
    """Every rule; `search` are the registries that a short name is looked for in."""

    rules: tuple[Rule, ...] = ()
    search: tuple[str, ...] = ()


class Source(NamedTuple):
    """One place to ask: under which name, and whether it may do without proof of who it is."""

    name: Reference
    insecure: bool
    is_mirror: bool = False


def meant(text: str, search: Sequence[str]) -> tuple[Reference, ...]:
    """The names that a user's text may stand for, in order; raises `InvalidReference`."""
    name = Reference.parse(text).with_default_tag()
    if not search or not is_short(text):
        return (name,)
    return tuple(Reference.parse(f"{host}/{text}").with_default_tag() for host in search)


def rule_of(name: Reference, rules: Sequence[Rule]) -> Rule | None:
    """The rule of the longest prefix that a name begins with, if any."""
    found = [(matched(str(name), rule.prefix), rule.prefix[0] != "*", rule) for rule in rules]
    best = max(found, key=lambda each: each[:2], default=(0, True, None))
    return best[2] if best[0] else None


def matched(name: str, prefix: str) -> int:
    """How much of a name a prefix takes up: whole parts or nothing; `*.x` is each host below x."""
    if prefix.startswith("*."):
        host = name.partition("/")[0]
        domain, slash, path = prefix[1:].partition("/")
        if not host.endswith(domain):
            return 0
        prefix = host + slash + path
    if not name.startswith(prefix):
        return 0
    rest = name[len(prefix) :]
    joints = "/:@" if "/" in prefix else "/"  # after a host alone a colon begins another port
    return len(prefix) if rest[:1] in joints else 0


def sources(name: Reference, rules: Sequence[Rule]) -> list[Source]:
    """The places to read a name from, in order, the registry itself last.

    Raises `AccessRefused` for a name that is blocked, `InvalidReference` for a bad location.
    """
    rule = rule_of(name, rules)
    if rule is None:
        return [Source(name, False)]
    refuse_blocked(name, rule)
    wanted = "tag-only" if name.digest is None else "digest-only"
    found = [
        Source(_moved(name, rule.prefix, mirror.location), mirror.insecure, True)
        for mirror in rule.mirrors
        if mirror.use in ("all", wanted)
    ]
    return [*found, Source(_moved(name, rule.prefix, rule.location), rule.insecure)]


def hub_mirrors(name: Reference, urls: Sequence[str]) -> list[Source]:
    """docker's `registry-mirrors`: other hosts for the images of docker.io alone."""
    if name.domain != "docker.io":
        return []
    found = []
    for url in urls:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.path.strip("/"):
            raise ConfigurationError(
                f"{url[:80]!r} in registry-mirrors is no mirror", hint="write https://HOST[:PORT]"
            )
        moved = Reference.within(parts.netloc, str(name).partition("/")[2])
        found.append(Source(moved, parts.scheme == "http", True))
    return found


def target(name: Reference, rules: Sequence[Rule]) -> Source:
    """The place to write a name to: never a mirror, never moved; raises `AccessRefused`."""
    rule = rule_of(name, rules)
    if rule is None:
        return Source(name, False)
    refuse_blocked(name, rule)
    return Source(name, rule.insecure and not rule.location)


def refuse_blocked(name: Reference, rule: Rule) -> None:
    """Raise `AccessRefused` for what an administrator forbids."""
    if rule.blocked:
        raise AccessRefused(f"{name.familiar} is blocked by {rule.origin}")


def _moved(name: Reference, prefix: str, location: str) -> Reference:
    if not location:
        return name
    text = location + str(name)[matched(str(name), prefix) :]
    domain, _, rest = text.partition("/")
    moved = Reference.within(domain, rest)
    if moved[2:] != name[2:]:
        raise InvalidReference(f"{location} would change the tag of {name.familiar}")
    return moved
