"""Lists that a registry gives out page by page: each bounded, and none goes on at another host."""

import json
import re
from collections.abc import Iterator, Mapping

from lamina.errors import ImageNotFound, RegistryError
from lamina.registry.answers import next_page
from lamina.registry.session import Session

_PAGES = 1000
_ENTRIES = 100_000
_NAME = re.compile(r"[a-z0-9][a-z0-9._/-]{0,254}", re.ASCII)


def pages(
    session: Session, url: str, scope: str, headers: Mapping[str, str] | None = None
) -> Iterator[bytes]:
    """The pages of a list from a path on, as the Link headers lead.

    Raises `ImageNotFound` where the registry has no such list, `RegistryError` for one without
    end or that leads to another host.
    """
    following: str | None = url
    for _ in range(_PAGES):
        if following is None:
            return
        with session.request(
            "GET", following, scope=scope, expected=(200, 404), headers=headers
        ) as answer:
            if answer.status == 404:
                raise ImageNotFound(f"{session.address.host} has nothing at {url[:300]}")
            page = answer.whole()
            following = next_page(answer.headers.get("Link"), answer.url)
        yield page
    raise endless(session)


def endless(session: Session) -> RegistryError:
    """That a registry lists more than anybody can want."""
    return RegistryError(f"{session.address.host} gives a list without end")


def texts(session: Session, url: str, scope: str, key: str, form: "re.Pattern[str]") -> list[str]:
    """The texts of a list under `key` in its order; what does not have the `form` is left out."""
    found: list[str] = []
    for page in pages(session, url, scope):
        found += filter(form.fullmatch, _listed(page, key, session))
        if len(found) > _ENTRIES:
            raise endless(session)
    return found


def _listed(page: bytes, key: str, session: Session) -> list[str]:
    try:
        found = json.loads(page)[key]
    except (ValueError, KeyError, TypeError, RecursionError):
        found = None
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise RegistryError(f"{session.address.host} answers with a list that is none")
    return found


def catalog(session: Session) -> list[str]:
    """The names of a registry's repositories; raises `RegistryError` where it tells none."""
    try:
        return texts(session, "/v2/_catalog", "registry:catalog:*", "repositories", _NAME)
    except ImageNotFound:
        raise RegistryError(f"{session.address.host} does not list its repositories") from None
