"""One HTTP request to a registry: the only module that knows the HTTP library.

No request is repeated here, no redirect followed and no credential known: what is asked is what
goes over the wire. Certificates are checked as the settings say, per host.
"""

import socket
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from threading import Event, Lock, Timer
from typing import TYPE_CHECKING, BinaryIO, cast
from urllib.parse import unquote, urlsplit
from weakref import WeakSet

import urllib3
from urllib3 import exceptions as failures
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.response import HTTPResponse

from lamina.errors import RegistryError, RegistryUnreachable
from lamina.registry.hosts import Settings, context_for, proxy_for
from lamina.values.closing import Closing

if TYPE_CHECKING:  # it is no more than a type
    from urllib3._base_connection import BaseHTTPConnection

Body = bytes | BinaryIO | Iterable[bytes]

_NOT_TLS = ("WRONG_VERSION_NUMBER", "UNEXPECTED_EOF", "RECORD_LAYER_FAILURE", "PACKET_LENGTH")
_CONNECTIONS = 8  # kept open for each host
_SMALL = 8 << 20  # bytes of an answer that is read whole
_SLOWEST = 1000  # bytes a second


class NoTls(RegistryUnreachable):
    """A host that speaks, but without TLS."""


class Silent(RegistryUnreachable):
    """A host that takes a request and says nothing, or stops in the middle, for too long."""


class NoSuchHost(RegistryUnreachable):
    """A host whose name means nothing, which asking again does not change."""


class Answer(Closing):
    """A registry's answer, its body not yet read; a context manager."""

    def __init__(self, response: urllib3.BaseHTTPResponse, url: str, timeout: float) -> None:
        self._response = response
        self._timeout = timeout
        self._waited = 0.0  # seconds, since it was looked how much came
        self._came = 0
        self.url = url
        self.status = response.status
        self.reason = f"{response.status} {response.reason or ''}".strip()
        self.headers: Mapping[str, str] = response.headers

    def all_of(self, name: str) -> list[str]:
        """Every header of that name."""
        return self._response.headers.getlist(name)

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes of the body; raises `RegistryUnreachable` when it breaks off.

        One that comes at under 1 kB a second is not waited for, either: a `RegistryError`.
        """
        begun = time.monotonic()
        try:
            data = self._response.read1(size)  # what is here, so that no drip looks like silence
        except (failures.HTTPError, OSError) as error:
            host = urlsplit(self.url).netloc
            kind = Silent if _is_silence(_innermost(error)) else RegistryUnreachable
            raise kind(f"{host} broke off its answer: {_words(error)}") from error
        self._waited += time.monotonic() - begun
        self._came += len(data)
        if self._waited > self._timeout:
            self._refuse_a_drip()
        return data

    def _refuse_a_drip(self) -> None:
        """Raise `RegistryError` unless enough has come since the last look."""
        if self._came < _SLOWEST * self._waited:
            host = urlsplit(self.url).netloc
            raise RegistryError(f"{host} sends its answer at under {_SLOWEST} bytes a second")
        self._waited, self._came = 0.0, 0

    def whole(self, limit: int = _SMALL) -> bytes:
        """The body; raises `RegistryError` when it has over `limit` bytes."""
        pieces, left = [], limit + 1
        while left and (piece := self.read(left)):
            pieces.append(piece)
            left -= len(piece)
        if not left:
            host = urlsplit(self.url).netloc
            raise RegistryError(f"{host} answered with over {limit} bytes where few are due")
        return b"".join(pieces)

    def abort(self) -> None:
        """End it from another thread: whoever reads gets an error."""
        with suppress(ValueError, OSError, RuntimeError):
            self._response.shutdown()

    def close(self) -> None:
        """Done: the connection is used again if its answer was read to the end."""
        if self._response.length_remaining == 0:
            self._response.drain_conn()  # nothing comes, but the library must hear so itself
            self._response.release_conn()
        else:
            self._response.close()


def _in_time(connection: HTTPConnection, answer: Callable[[], HTTPResponse]) -> HTTPResponse:
    """An answer whose head is here within the connection's timeout, however slowly it drips."""
    over = Event()
    peer, seconds = connection.sock, connection.timeout

    def cut_off() -> None:
        over.set()
        _cut(peer)

    timer = Timer(seconds if seconds is not None else Settings().timeout, cut_off)
    timer.daemon = True
    timer.start()
    try:
        found = answer()
    except Exception:
        if over.is_set():
            raise TimeoutError from None
        raise
    finally:
        timer.cancel()
    if over.is_set():  # what had come by then reads as a whole head
        found.close()
        raise TimeoutError
    return found


class _Http(HTTPConnection):
    def getresponse(self) -> HTTPResponse:  # type: ignore[override]
        return _in_time(self, super().getresponse)


class _Https(HTTPSConnection):
    def getresponse(self) -> HTTPResponse:  # type: ignore[override]
        return _in_time(self, super().getresponse)


class GivenUp(RegistryError):
    """Nobody wants to hear the answer any more."""


class _Underway:
    """The connections of one transport, which may be cut from another thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._connections: WeakSet[BaseHTTPConnection] = WeakSet()
        self.is_over = False

    def begin(self, connection: "BaseHTTPConnection", timeout: urllib3.Timeout) -> None:
        """Connect; then each piece that is sent has the time of an answer, not of connecting."""
        if connection.is_closed:
            connection.connect()
        connection.timeout = urllib3.Timeout.resolve_default_timeout(timeout.read_timeout)
        with self._lock:
            self._connections.add(connection)
        if self.is_over:
            raise ConnectionAbortedError

    def cut(self) -> None:
        """End all that is sent or waited for, and all that comes."""
        with self._lock:
            self.is_over = True
            connections = list(self._connections)
        for each in connections:
            _cut(getattr(each, "sock", None))


def _cut(peer: socket.socket | None) -> None:
    with suppress(OSError, TypeError):  # TLS within TLS is no socket
        socket.socket.shutdown(cast("socket.socket", peer), socket.SHUT_RDWR)


class _HttpPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Http
    underway: _Underway

    def _validate_conn(self, connection: "BaseHTTPConnection") -> None:
        super()._validate_conn(connection)
        self.underway.begin(connection, self.timeout)


class _HttpsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _Https
    underway: _Underway

    def _validate_conn(self, connection: "BaseHTTPConnection") -> None:
        super()._validate_conn(connection)
        self.underway.begin(connection, self.timeout)


class Transport:
    """Connections to hosts, reused; may be shared by threads."""

    def __init__(self, settings: Settings, agent: str) -> None:
        self._settings = settings
        self._agent = agent
        self._pools: dict[tuple[str, str], urllib3.PoolManager] = {}
        self._underway = _Underway()

    def give_up(self) -> None:
        """End all that is asked, and what will be: that raises `GivenUp`; from any thread."""
        self._underway.cut()

    def ask(
        self, method: str, url: str, headers: Mapping[str, str], body: Body | None = None
    ) -> Answer:
        """Send one request; raises `RegistryUnreachable` (`NoTls` where it is for want of TLS).

        The head of the answer is here within `Settings.timeout`, or that is `Silent`.
        """
        parts = urlsplit(url)
        try:
            if self._underway.is_over:
                raise ConnectionAbortedError
            response = self._pool(parts.scheme, parts.netloc).urlopen(
                method,
                url,
                body=body,
                headers={"User-Agent": self._agent, **headers},
                redirect=False,
                retries=False,
                preload_content=False,
                decode_content=False,
            )
        except (failures.HTTPError, OSError, ValueError) as error:
            if self._underway.is_over:
                raise GivenUp(f"{parts.netloc} is asked no more") from error
            raise _unreachable(parts.netloc, error) from error
        return Answer(response, url, self._settings.timeout)

    def _pool(self, scheme: str, host: str) -> urllib3.PoolManager:
        found = self._pools.get((scheme, host))
        if found is None:
            found = self._pools[scheme, host] = self._new_pool(scheme, host)
            watched = {"underway": self._underway}
            found.pool_classes_by_scheme = {
                "http": type("_Pool", (_HttpPool,), watched),
                "https": type("_Pool", (_HttpsPool,), watched),
            }
        return found

    def _new_pool(self, scheme: str, host: str) -> urllib3.PoolManager:
        context = context_for(self._settings, host) if scheme == "https" else None
        timeout = urllib3.Timeout(
            connect=min(10.0, self._settings.timeout), read=self._settings.timeout
        )
        proxy = proxy_for(self._settings.proxies, scheme, host)
        if proxy:
            login = urlsplit(proxy)
            word = f"{unquote(login.username or '')}:{unquote(login.password or '')}"
            return urllib3.ProxyManager(
                proxy,
                proxy_headers=urllib3.make_headers(
                    proxy_basic_auth=word if login.username else None
                ),
                ssl_context=context,
                timeout=timeout,
                maxsize=_CONNECTIONS,
            )
        return urllib3.PoolManager(ssl_context=context, timeout=timeout, maxsize=_CONNECTIONS)


def _unreachable(host: str, error: Exception) -> RegistryUnreachable:
    text = str(error)
    if any(each in text.replace(" ", "_").upper() for each in _NOT_TLS):
        return NoTls(
            f"{host} does not speak TLS",
            hint="name it in insecure-registries of daemon.json if that is meant to be",
        )
    if "CERTIFICATE_VERIFY_FAILED" in text.replace(" ", "_").upper():
        return RegistryUnreachable(
            f"{host} shows a certificate that is not trusted: {_words(error)}",
            hint=f"put its authority into /etc/docker/certs.d/{host}/ca.crt",
        )
    reason = _innermost(error)
    unknown = isinstance(reason, socket.gaierror) and reason.errno == socket.EAI_NONAME
    kind: type[RegistryUnreachable] = Silent if _is_silence(reason) else RegistryUnreachable
    if unknown:
        kind = NoSuchHost
    return kind(f"{host} cannot be reached: {_words(error)}")


def _innermost(error: BaseException) -> BaseException:
    for _ in range(8):
        last = (
            error.args[-1] if error.args else None
        )  # urllib3's "Connection aborted." has it there
        inner = getattr(error, "reason", None) or error.__cause__ or last
        if not isinstance(inner, BaseException):
            break
        error = inner
    return error


def _is_silence(error: BaseException) -> bool:
    return isinstance(error, failures.ReadTimeoutError | TimeoutError)


def _words(error: BaseException) -> str:
    """The innermost reason, in its own words."""
    seen = _innermost(error)
    if _is_silence(seen):
        return "it said nothing for too long"
    if isinstance(seen, OSError) and seen.strerror:
        return seen.strerror
    text = str(seen)
    return text.rpartition(": ")[2] if "object at 0x" in text else text
