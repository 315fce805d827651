"""A registry in this process that misbehaves to order.

Serves what it was given, keeps what is pushed, and remembers every request with its headers.
`wrong` lays a fault on the requests whose path matches: it takes the place of the answer.
"""

import hashlib
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple, cast
from urllib.parse import parse_qs, urlsplit

_INDEX = "application/vnd.oci.image.index.v1+json"
_POLL = 0.01  # seconds after which the server looks up when it is to end
_Request = socket.socket | tuple[bytes, socket.socket]
Fault = Callable[["Exchange"], bool]
"""Answers an exchange in its own way; False leaves it to the registry."""


class Asked(NamedTuple):
    """A request that came: method, path with query, and headers (lower case names)."""

    method: str
    path: str
    headers: dict[str, str]


class Exchange(BaseHTTPRequestHandler):
    """One request, and the ways to answer it."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # as every real one: else each small answer waits 40 ms

    @property
    def registry(self) -> "FakeRegistry":
        """The registry that was asked."""
        return cast("_Server", self.server).registry

    def answer(
        self,
        status: int,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        *,
        length: int | None = None,
    ) -> None:
        """Answer; `length` is what is announced, where that is to be a lie."""
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        if length is not None and length != len(body):
            self.close_connection = True

    def body(self) -> bytes:
        """What came with the request."""
        if self.headers.get("Transfer-Encoding") == "chunked":
            pieces = []
            while size := int(self.rfile.readline().strip() or b"0", 16):
                pieces.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(pieces)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def break_off(self, count: int) -> None:
        """Take so many bytes of an upload's request, keep them, and hang up."""
        session = urlsplit(self.path).path.rpartition("/")[2]
        self.registry.uploads[session] += self.rfile.read(count)
        self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def _handle(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.registry.asked.append(Asked(self.command, self.path, headers))
        for pattern, fault, left in list(self.registry.faults):
            if left[0] and re.search(pattern, f"{self.command} {self.path}"):
                left[0] -= 1
                if fault(self):
                    return
        self.registry.serve(self)

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = _handle  # noqa: N815


class FakeRegistry:
    """What one registry holds, and what is wrong with it."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[tuple[str, str], tuple[bytes, str]] = {}
        self.asked: list[Asked] = []
        self.faults: list[tuple[str, Fault, list[int]]] = []
        self.uploads: dict[str, bytes] = {}
        self.places: dict[str, str] = {}
        self.least_chunk = 0  # bytes that a chunk must have, and the registry says so
        self.host = ""
        self.page = 1000  # entries of a list that are given out at once
        self.notes_subjects = False  # whether it says that it lists what a manifest refers to

    def wrong(self, pattern: str, fault: Fault, times: int = 1 << 30) -> None:
        """Lay a fault on requests whose `METHOD path` matches, so many times."""
        self.faults.append((pattern, fault, [times]))

    def add_blob(self, data: bytes) -> str:
        """Have a blob; gives its digest."""
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self.blobs[digest] = data
        return digest

    def add_manifest(self, path: str, tag: str, raw: bytes, media_type: str) -> str:
        """Have a manifest under a tag and its digest; gives the digest."""
        digest = f"sha256:{hashlib.sha256(raw).hexdigest()}"
        for reference in (tag, digest):
            self.manifests[path, reference] = (raw, media_type)
        return digest

    def count(self, pattern: str) -> int:
        """How many requests came whose `METHOD path` matches."""
        return sum(1 for each in self.asked if re.search(pattern, f"{each.method} {each.path}"))

    # --- the protocol -------------------------------------------------------------------

    def serve(self, exchange: Exchange) -> None:
        """Answer as a registry should."""
        path = urlsplit(exchange.path).path
        for pattern, serve in (
            (r"/v2/(.+)/manifests/([^/]+)", self._manifest),
            (r"/v2/(.+)/blobs/uploads/([^/]*)", self._upload),
            (r"/v2/(.+)/blobs/([^/]+)", self._blob),
            (r"/v2/(.+)/tags/(list)", self._tags),
            (r"/v2/(.+)/referrers/(sha256:[0-9a-f]{64})", self._referrers),
            (r"/v2/()(_catalog)", self._catalog),
        ):
            found = re.fullmatch(pattern, path)
            if found:
                serve(exchange, found[1], found[2])
                return
        exchange.body()
        exchange.answer(200 if path == "/v2/" else 404, b"{}")

    def _manifest(self, exchange: Exchange, path: str, reference: str) -> None:
        body = exchange.body()
        if exchange.command == "PUT":
            kind = exchange.headers.get("Content-Type", "")
            digest = self.add_manifest(path, reference, body, kind)
            headers = {"Docker-Content-Digest": digest}
            if self.notes_subjects and "subject" in json.loads(body):
                headers["OCI-Subject"] = json.loads(body)["subject"]["digest"]
            exchange.answer(201, b"", headers)
            return
        found = self.manifests.get((path, reference))
        if found is not None and exchange.command == "DELETE":
            self._delete(exchange, path, reference)
            return
        if found is None:
            exchange.answer(404, json.dumps({"errors": [{"message": "unknown"}]}).encode())
            return
        digest = f"sha256:{hashlib.sha256(found[0]).hexdigest()}"
        headers = {"Content-Type": found[1], "Docker-Content-Digest": digest}
        exchange.answer(200, found[0], headers)

    def _blob(self, exchange: Exchange, _path: str, digest: str) -> None:
        data = self.blobs.get(digest)
        if data is None:
            exchange.answer(404, b"{}")
            return
        begins = re.fullmatch(r"bytes=(\d+)-", exchange.headers.get("Range") or "")
        if begins is None:
            exchange.answer(200, data)
            return
        at = int(begins[1])
        headers = {"Content-Range": f"bytes {at}-{len(data) - 1}/{len(data)}"}
        exchange.answer(206, data[at:], headers)

    def _upload(self, exchange: Exchange, path: str, session: str) -> None:
        query = parse_qs(urlsplit(exchange.path).query)
        if exchange.command == "POST":
            exchange.body()
            if query.get("mount", [""])[0] in self.blobs:
                exchange.answer(201)
            else:
                session = str(len(self.asked))
                self.uploads[session] = b""
                self._tell_upload(exchange, path, session, 202)
        elif not self._is_where(session, query):
            exchange.body()
            exchange.answer(404, json.dumps({"errors": [{"message": "no such upload"}]}).encode())
        elif exchange.command == "GET":
            self._tell_upload(exchange, path, session, 204)
        elif exchange.command == "PATCH":
            self._patch(exchange, path, session)
        else:
            self._complete(exchange, session, query["digest"][0])

    def _is_where(self, session: str, query: dict[str, list[str]]) -> bool:
        """Whether an upload goes on where it was told to, and not where it was told to before."""
        told = self.places.get(session)
        return session in self.uploads and query.get("at", [told]) == [told]

    def _tell_upload(self, exchange: Exchange, path: str, session: str, status: int) -> None:
        """Say where an upload is, as docker's registry does: nothing is 0-0, too."""
        self.places[session] = str(len(self.asked))
        place = f"/v2/{path}/blobs/uploads/{session}?at={self.places[session]}"
        headers = {"Location": place}
        headers["Range"] = f"0-{max(len(self.uploads[session]) - 1, 0)}"
        if self.least_chunk:
            headers["OCI-Chunk-Min-Length"] = str(self.least_chunk)
        exchange.answer(status, b"", headers)

    def _patch(self, exchange: Exchange, path: str, session: str) -> None:
        begins = int(exchange.headers.get("Content-Range", "0-").partition("-")[0])
        body = exchange.body()
        if begins != len(self.uploads[session]):
            exchange.answer(416)
            return
        self.uploads[session] += body
        self._tell_upload(exchange, path, session, 202)

    def _complete(self, exchange: Exchange, session: str, digest: str) -> None:
        data = self.uploads[session] + exchange.body()
        if f"sha256:{hashlib.sha256(data).hexdigest()}" != digest:
            exchange.answer(400, json.dumps({"errors": [{"message": "digest invalid"}]}).encode())
            return
        del self.uploads[session]
        self.add_blob(data)
        exchange.answer(201)

    def _delete(self, exchange: Exchange, path: str, reference: str) -> None:
        raw = self.manifests[path, reference]
        for place in [place for place, found in self.manifests.items() if found == raw]:
            if ":" in reference or place == (path, reference):
                del self.manifests[place]
        exchange.answer(202)

    def _tags(self, exchange: Exchange, path: str, _list: str) -> None:
        tags = [tag for where, tag in self.manifests if where == path and ":" not in tag]
        self._page(exchange, "tags", tags)

    def _catalog(self, exchange: Exchange, _path: str, _name: str) -> None:
        self._page(exchange, "repositories", sorted({path for path, _ in self.manifests}))

    def _page(self, exchange: Exchange, key: str, entries: list[str]) -> None:
        """As many as are wanted (`page`: at most) from where the last page ended."""
        parts = urlsplit(exchange.path)
        last = parse_qs(parts.query).get("last", [""])[0]
        begin = entries.index(last) + 1 if last else 0
        shown = entries[begin : begin + self.page]
        more = len(entries) > begin + self.page
        headers = {"Link": f'<{parts.path}?last={shown[-1]}>; rel="next"'} if more else {}
        exchange.answer(200, json.dumps({key: shown}).encode(), headers)

    def _referrers(self, exchange: Exchange, path: str, subject: str) -> None:
        found = []
        for (where, reference), (raw, media_type) in self.manifests.items():
            document = json.loads(raw)
            refers = document.get("subject", {}).get("digest") == subject
            if where == path and refers and ":" in reference:
                kind = document.get("artifactType") or document["config"]["mediaType"]
                about = {"digest": reference, "size": len(raw), "mediaType": media_type}
                found.append({**about, "artifactType": kind})
        document = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": found}
        exchange.answer(200, json.dumps(document).encode(), {"Content-Type": _INDEX})


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # closing waits for them: nothing of a test outlives it
    registry: FakeRegistry

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__(address, Exchange)
        self._open: list[socket.socket] = []

    def process_request(self, request: _Request, client_address: object) -> None:
        """Serve a connection on a thread of its own, and remember it."""
        if isinstance(request, socket.socket):
            self._open.append(request)
        super().process_request(request, client_address)

    def hang_up(self) -> None:
        """End every connection, whatever its client keeps it for."""
        for each in self._open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no news."""


@contextmanager
def fake_registry() -> Iterator[FakeRegistry]:
    """A registry on a port of 127.0.0.1 without TLS, for as long as the block lasts."""
    registry = FakeRegistry()
    server = _Server(("127.0.0.1", 0))
    server.registry = registry
    registry.host = f"127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(_POLL,), daemon=True)
    thread.start()
    try:
        yield registry
    finally:
        server.shutdown()
        thread.join()
        server.hang_up()
        server.server_close()
