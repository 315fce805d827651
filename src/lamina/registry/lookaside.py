"""Signatures of an image as GPG signs them, read from where registries.d says that they lie.

`PLACE/PATH@ALGORITHM=HEX/signature-N`, from 1 on until there is none: a folder, or a web server.
https://github.com/containers/image/blob/main/docs/signature-protocols.md
"""

from collections.abc import Iterator
from urllib.parse import quote, unquote, urlsplit

from lamina.errors import ConfigurationError, RegistryError
from lamina.registry.address import joined
from lamina.registry.transport import Transport
from lamina.values.digest import Digest

_MOST = 128  # signatures of one image that are looked at
_LARGEST = 4 << 20  # bytes of one
_HOPS = 5
_REDIRECTS = (301, 302, 303, 307, 308)


def signatures(place: str, subject: Digest, transport: Transport) -> Iterator[bytes]:
    """The signatures of a manifest, none of them verified; `place` is that of its repository.

    Raises `ConfigurationError` for what is there and cannot be read, `RegistryError` for a server
    that answers otherwise.
    """
    for number in range(1, _MOST + 1):
        url = f"{place}@{subject.algorithm}={subject.hex}/signature-{number}"
        found = _file(url) if url.startswith("file:") else _fetched(url, transport)
        if found is None:
            return
        yield found


def _file(url: str) -> bytes | None:
    path = unquote(urlsplit(url).path)
    try:
        with open(path, "rb") as file:
            return file.read(_LARGEST)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ConfigurationError(f"the signature {path} cannot be read: {error.strerror}") from None


def _fetched(url: str, transport: Transport) -> bytes | None:
    url = quote(url, safe=":/@=%[]")
    for _ in range(_HOPS + 1):
        with transport.ask("GET", url, {}) as answer:
            if answer.status == 404:
                return None
            if answer.status == 200:
                return answer.whole(_LARGEST)
            host = urlsplit(url).netloc
            if answer.status not in _REDIRECTS:
                raise RegistryError(f"{host} answers {answer.reason} when asked for a signature")
            following = joined(url, answer.headers.get("Location", ""))
            if url.startswith("https:") and not following.startswith("https:"):
                raise RegistryError(f"{host} redirects to a signature without TLS")
            url = following
    raise RegistryError(f"{urlsplit(url).netloc} redirects in circles")
