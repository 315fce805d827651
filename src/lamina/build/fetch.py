"""ADD of a URL: fetched once, known again by its checksum, its ETag or its date.

    checksum known -> nothing is asked            ETag or date known -> 304 -> nothing is read
    else: body -> a file without a name, hashed -> compared with the checksum -> remembered

What is remembered are facts, not the body: it is fetched anew when a layer has to be made of it.
Redirects, sizes and silence are bounded; nothing that a server says becomes a path.
"""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from functools import partial
from typing import NamedTuple, Protocol, Self
from urllib.parse import unquote, urljoin, urlsplit

from lamina.build.api import Cache
from lamina.build.cachekey import Inputs
from lamina.build.operation import Remote
from lamina.build.record import Record
from lamina.build.selection import Fetched
from lamina.errors import BuildError, DigestMismatch, RegistryError, from_oserror
from lamina.fs.atomic import write_all

_CHUNK = 1 << 18
_LARGEST = 64 << 30  # bytes of one file
_WITHOUT_TLS = "write it with http:// if that is meant to be"
_REDIRECTS = 10
_MOVED = (301, 302, 303, 307, 308)


class Answer(Protocol):
    """What a server answered; a context manager."""

    status: int
    reason: str
    headers: Mapping[str, str]

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes of the body."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_exception: object) -> None: ...


Ask = Callable[[str, Mapping[str, str]], Answer]
"""GET of a URL with headers, no redirect followed; raises `RegistryError`."""


class Known(NamedTuple):
    """What is remembered of a URL; `modified_ns` since the epoch."""

    digest: str
    size: int
    modified_ns: int
    etag: str
    modified: str


class Fetcher:
    """Fetches for one build; `scratch` names a file of its own for a moment."""

    def __init__(
        self,
        ask: Ask,
        cache: Cache,
        scratch: Callable[[str], str],
        now: Callable[[], float],
        *,
        no_cache: bool,
    ) -> None:
        self._ask = ask
        self._cache = cache
        self._scratch = scratch
        self._now = now
        self._no_cache = no_cache

    def fetch(self, remote: Remote) -> Fetched:
        """The file at a URL, its body read now or when it is opened.

        Raises `DigestMismatch` when it is not what --checksum says, or `BuildError`.
        """
        known = None if self._no_cache else self._known(remote.url)
        if known is not None and known.digest == remote.checksum:
            return self._later(remote, known)
        with self._request(remote.url, _conditions(known)) as answer:
            if answer.status == 304 and known is not None:
                _compare(remote.url, remote.checksum, known.digest)
                return self._later(remote, known)
            body, found = self._read(remote.url, answer)
        try:
            _compare(remote.url, remote.checksum, found.digest)
        except BaseException:
            os.close(body)
            raise
        self._remember(remote.url, found)
        return _fetched(remote, found, _Body.here(body).open)

    def _later(self, remote: Remote, known: Known) -> Fetched:
        return _fetched(remote, known, _Body(partial(self._again, remote.url, known)).open)

    def _again(self, url: str, known: Known) -> int:
        """The body after all: its layer is not here."""
        with self._request(url, {}) as answer:
            body, found = self._read(url, answer)
        try:
            _compare(url, known.digest, found.digest)
        except BaseException:
            os.close(body)
            raise
        return body

    def _request(self, url: str, headers: Mapping[str, str]) -> Answer:
        asked = url
        for _ in range(_REDIRECTS):
            try:
                answer = self._ask(asked, headers)
            except RegistryError as error:
                raise BuildError(
                    f"fetching {shown_url(url)}: {error.brief}", hint=_hint(error)
                ) from error
            if answer.status not in _MOVED:
                return self._accepted(url, answer)
            with answer:
                asked = urljoin(asked, answer.headers.get("Location", ""))
            if urlsplit(asked).scheme not in ("http", "https"):
                raise BuildError(
                    f"{shown_url(url)} leads to {shown_url(asked)}, which is not fetched"
                )
        raise BuildError(f"{shown_url(url)} leads from one address to another without end")

    def _accepted(self, url: str, answer: Answer) -> Answer:
        if answer.status in (200, 304):
            return answer
        with answer:
            raise BuildError(f"fetching {shown_url(url)}: the server says {answer.reason}")

    def _read(self, url: str, answer: Answer) -> tuple[int, Known]:
        """The body in a file that has no name, and what is to be remembered of it."""
        digest, size = hashlib.sha256(), 0
        body = _nameless(self._scratch(f"fetched{os.urandom(4).hex()}"))
        try:
            while data := answer.read(_CHUNK):
                size += len(data)
                if size > _LARGEST:
                    raise BuildError(f"{shown_url(url)} is larger than {_LARGEST} bytes")
                digest.update(data)
                write_all(body, data)
        except OSError as error:
            os.close(body)
            raise from_oserror(error, "keeping", shown_url(url)) from error
        except BaseException:
            os.close(body)
            raise
        modified = answer.headers.get("Last-Modified", "")
        etag = answer.headers.get("ETag", "")
        name = f"sha256:{digest.hexdigest()}"
        return body, Known(name, size, _nanoseconds(modified), etag, modified)

    # --- memory -------------------------------------------------------------------------

    def _known(self, url: str) -> Known | None:
        record = self._cache.recall(_key(url))
        return Known(*json.loads(record.inputs)) if record is not None else None

    def _remember(self, url: str, found: Known) -> None:
        self._cache.note(_key(url), Record(None, json.dumps(found), self._now()))


def _hint(error: RegistryError) -> str:
    from lamina.registry.transport import NoTls  # loaded by who asked

    return _WITHOUT_TLS if isinstance(error, NoTls) else error.hint


class _Body:
    """A body in a file that has no name, got when it is first wanted; it goes with this."""

    def __init__(self, get: Callable[[], int]) -> None:
        self._get = get
        self._descriptor = -1

    @classmethod
    def here(cls, descriptor: int) -> Self:
        """One that is read already."""
        made = cls(lambda: descriptor)
        made._descriptor = descriptor
        return made

    def open(self) -> int:
        """A descriptor of its own for whoever reads."""
        if self._descriptor < 0:
            self._descriptor = self._get()
        return os.open(f"/proc/self/fd/{self._descriptor}", os.O_RDONLY | os.O_CLOEXEC)

    def __del__(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)


def _nameless(path: str) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    os.unlink(path)
    return descriptor


def _fetched(remote: Remote, known: Known, open_body: Callable[[], int]) -> Fetched:
    digest = bytes.fromhex(known.digest.partition(":")[2])
    return Fetched(name_of(remote.url), digest, known.size, known.modified_ns, open_body)


def name_of(url: str) -> str:
    """The file name that a URL ends in; empty when it ends in none."""
    name = unquote(urlsplit(url).path.rpartition("/")[2])
    return "" if name in (".", "..") or "/" in name or "\0" in name else name


def _conditions(known: Known | None) -> dict[str, str]:
    if known is None:
        return {}
    if known.etag:
        return {"If-None-Match": known.etag}
    return {"If-Modified-Since": known.modified} if known.modified else {}


def _nanoseconds(date: str) -> int:
    try:
        return max(int(parsedate_to_datetime(date).timestamp()), 0) * 1_000_000_000
    except (ValueError, TypeError, OverflowError):
        return 0


def _compare(url: str, expected: str, found: str) -> None:
    if expected and expected != found:
        raise DigestMismatch(f"{shown_url(url)} has the digest {found}, and {expected} is expected")


def shown_url(url: str) -> str:
    """A URL as messages show it: without a password."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=host, query="", fragment="").geturl()


def _key(url: str) -> str:
    return Inputs({"op": "url", "url": url}).key
