"""A proxy before a registry that cuts connections and refuses sizes, and remembers what it let by.

It hands a request on when it has all of it, as nginx does by default.
"""

import http.client
import re
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple, cast

from tests.serving import served

_PATIENCE = 30.0  # seconds; a bound, never a wait


class Passed(NamedTuple):
    """A request of which something came: its method, path, first byte, size; was it handed on?"""

    method: str
    path: str
    begin: int
    size: int
    whole: bool


class Cutting(ThreadingHTTPServer):
    """The proxy. The next `cuts` requests that match are cut half-way; over `limit` bytes are 413.

    With `leaks` the half that came of a cut one is handed on.
    """

    daemon_threads = True

    def __init__(self, behind: str) -> None:
        super().__init__(("127.0.0.1", 0), _Exchange)
        self.behind = behind
        self.host = f"127.0.0.1:{self.server_address[1]}"
        self.passed: list[Passed] = []
        self.cuts = 0
        self.pattern = ""
        self.leaks = False
        self.limit = 1 << 40

    def cut(self, pattern: str, times: int = 1, *, leaks: bool = False) -> None:
        """Cut requests whose `METHOD RANGE` matches."""
        self.pattern, self.cuts, self.leaks = pattern, times, leaks

    def bodies(self) -> list[Passed]:
        """What carried bytes."""
        return [each for each in self.passed if each.method in ("PUT", "PATCH") and each.size]


class _Exchange(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def _handle(self) -> None:
        proxy = cast("Cutting", self.server)
        size = int(self.headers.get("Content-Length") or 0)
        begin = int(self.headers.get("Content-Range", "0-").partition("-")[0])
        is_cut = (
            bool(proxy.cuts)
            and size > 1
            and bool(re.search(proxy.pattern, f"{self.command} {begin}-{begin + size - 1}"))
        )
        proxy.passed.append(Passed(self.command, self.path, begin, size, not is_cut))
        if is_cut:
            proxy.cuts -= 1
            self._cut(proxy, self.rfile.read(size // 2), size)
        elif size > proxy.limit:
            self.send_error(413)
            self.close_connection = True
        else:
            self._hand_on(proxy, self.rfile.read(size))

    def _cut(self, proxy: Cutting, half: bytes, size: int) -> None:
        if proxy.leaks:
            with closing(http.client.HTTPConnection(proxy.behind, timeout=_PATIENCE)) as there:
                self._leak(there, half)
        self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True

    def _leak(self, there: http.client.HTTPConnection, half: bytes) -> None:
        """Hand half a request on, and wait until the registry has given it up."""
        there.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            there.putheader(name, value)
        there.endheaders(half)
        there.sock.shutdown(socket.SHUT_WR)
        while there.sock.recv(1 << 16):
            pass

    def _hand_on(self, proxy: Cutting, body: bytes) -> None:
        with closing(http.client.HTTPConnection(proxy.behind, timeout=_PATIENCE)) as there:
            with suppress(BrokenPipeError):  # a registry may answer before it has all of a body
                there.request(self.command, self.path, body, dict(self.headers.items()))
            answer = there.getresponse()
            data = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("content-length", "connection", "date", "transfer-encoding"):
                self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else None
        self.send_header("Content-Length", length or str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = _handle


@contextmanager
def cutting(behind: str) -> Iterator[Cutting]:
    """A proxy before a registry, for as long as the block lasts."""
    proxy = Cutting(behind)
    with served(proxy):
        yield proxy
