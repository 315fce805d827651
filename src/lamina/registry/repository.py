"""One repository of a registry: manifests, blobs, uploads, tags (OCI distribution 1.1).

What comes is bounded and its digest checked before it is given on; what breaks off goes on where
it stopped. Knows nothing of images here.
"""

import re
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import quote, urlencode

from lamina.errors import (
    DigestMismatch,
    ImageNotFound,
    RegistryError,
    RegistryUnreachable,
)
from lamina.registry.answers import begins_at, complaint
from lamina.registry.listing import texts
from lamina.registry.session import Session
from lamina.registry.transport import Answer, Silent
from lamina.registry.uploading import Opener, Place, Upload
from lamina.spec import mediatypes, strictjson
from lamina.values.closing import Closing
from lamina.values.digest import BlobDigest, Digest

_ACCEPTED = ", ".join((*mediatypes.MANIFESTS, *mediatypes.INDEXES))
_RESUMED = 5  # times in a row without a byte
_SILENCES = 2  # of them that took the whole of a timeout
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_CHUNK = 1 << 20


class Found(NamedTuple):
    """A manifest or an index: its bytes, what the registry says it is, and its digest."""

    raw: bytes
    media_type: str
    digest: Digest


class Repository:
    """One repository; may be shared by threads. `to_read` is the scope that reading it needs.

    A blob of more than `chunk` bytes is sent in chunks of so many (0: whole, as long as it goes).
    """

    def __init__(self, session: Session, path: str, *, chunk: int = 0) -> None:
        self.session = session
        self.path = path
        self._chunk = chunk
        self.to_read = f"repository:{path}:pull"
        self._push = f"repository:{path}:pull,push"
        self._deletion = f"repository:{path}:pull,delete"

    @property
    def host(self) -> str:
        """The registry's host and port."""
        return self.session.address.host

    @property
    def name(self) -> str:
        """Host and path, for messages."""
        return f"{self.host}/{self.path}"

    def url(self, *parts: str) -> str:
        """The path of something of this repository."""
        return "/".join((f"/v2/{self.path}", *(quote(each, safe=":") for each in parts)))

    # --- manifests ----------------------------------------------------------------------

    def manifest(self, reference: str | Digest) -> Found:
        """The document that a tag or a digest names, verified.

        Raises `ImageNotFound`, `DigestMismatch` or `RegistryError`.
        """
        with self.session.request(
            "GET",
            self.url("manifests", str(reference)),
            scope=self.to_read,
            expected=(200, 404),
            headers={"Accept": _ACCEPTED},
        ) as answer:
            if answer.status == 404:
                joint = "@" if isinstance(reference, Digest) else ":"
                raise ImageNotFound(f"{self.name} has no image {joint}{reference}")
            raw = answer.whole(strictjson.LIMIT)
            media_type = answer.headers.get("Content-Type", "").partition(";")[0].strip()
            said = answer.headers.get("Docker-Content-Digest", "")
        digest = BlobDigest.of(raw)
        wanted = str(reference) if isinstance(reference, Digest) else said
        if wanted.startswith("sha256:") and wanted != digest:
            raise DigestMismatch(f"{self.name} gave the manifest {digest}, not {wanted}")
        if isinstance(reference, Digest) and not wanted.startswith("sha256:"):
            raise RegistryError(f"only sha256 digests can be asked for, not {reference.algorithm}")
        return Found(raw, media_type, digest)

    def put_manifest(self, raw: bytes, media_type: str, reference: str | Digest) -> str:
        """Store a document under a tag or its digest.

        Gives the digest of what the registry notes that it refers to; "" where it notes nothing.
        """
        with self.session.request(
            "PUT",
            self.url("manifests", str(reference)),
            scope=self._push,
            expected=(201, 202, 200),
            headers={"Content-Type": media_type},
            body=lambda: raw,
        ) as answer:
            answer.whole()
            return answer.headers.get("OCI-Subject", "")

    def delete(self, reference: str | Digest) -> None:
        """Delete a manifest, or a tag alone; raises `ImageNotFound` or `RegistryError`."""
        with self.session.request(
            "DELETE",
            self.url("manifests", str(reference)),
            scope=self._deletion,
            expected=(202, 200, 204, 400, 404, 405),
        ) as answer:
            words = complaint(answer.whole(), answer.reason)
        joint = "@" if isinstance(reference, Digest) else ":"
        if answer.status == 404:
            raise ImageNotFound(f"{self.name} has no image {joint}{reference}")
        if answer.status >= 400:
            raise RegistryError(f"{self.name} does not delete {joint}{reference}: {words}")

    def tags(self) -> list[str]:
        """Every tag, in the registry's order; what is no tag is left out."""
        try:
            return texts(self.session, self.url("tags", "list"), self.to_read, "tags", _TAG)
        except ImageNotFound:
            raise ImageNotFound(f"there is no repository {self.name}") from None

    # --- blobs --------------------------------------------------------------------------

    def has(self, digest: Digest) -> bool:
        """Whether the repository has a blob."""
        with self.session.request(
            "HEAD", self.url("blobs", str(digest)), scope=self.to_read, expected=(200, 404)
        ) as answer:
            return answer.status == 200

    def blob(self, digest: Digest, size: int, offset: int = 0) -> "BlobStream":
        """A blob of `size` bytes from `offset` on; not verified, for that is its reader's part."""
        return BlobStream(lambda at: self._blob_from(digest, at), digest, size, offset)

    def _blob_from(self, digest: Digest, offset: int) -> Answer:
        answer = self.session.request(
            "GET",
            self.url("blobs", str(digest)),
            scope=self.to_read,
            expected=(200, 206, 404),
            headers={"Range": f"bytes={offset}-"} if offset else {},
        )
        if answer.status == 404:
            answer.close()
            raise ImageNotFound(f"{self.name} has lost the blob {digest}")
        return answer

    def mount(self, digest: Digest, source: str) -> Place | None:
        """Take a blob from another repository of the registry without sending it.

        None when that is done; else the registry wants it sent, and it is told where to.
        """
        query = urlencode({"mount": str(digest), "from": source})
        scope = f"{self._push} repository:{source}:pull"
        return self._begin(f"?{query}", scope)

    def _begin(self, query: str, scope: str) -> Place | None:
        with self.session.request(
            "POST",
            f"{self.url('blobs', 'uploads')}/{query}",
            scope=scope,
            expected=(201, 202),
            headers={"Content-Length": "0"},
        ) as answer:
            answer.whole()
            return None if answer.status == 201 else Place.told(answer, self.session)

    def upload(self, digest: Digest, size: int, opener: Opener, place: Place | None = None) -> None:
        """Send a blob; `opener` gives its bytes, from the start, for each try.

        `place` is where a refused `mount` said to send it. What breaks off goes on from where the
        registry says it is.
        """
        Upload(
            self.session,
            self._push,
            digest,
            size,
            opener,
            begin=lambda: self._begin("", self._push),
            has=lambda: self.has(digest),
            chunk=self._chunk,
        ).send(place)


class BlobStream(Closing):
    """The bytes of a blob, asked for again from where they broke off; a context manager."""

    def __init__(
        self, ask: Callable[[int], Answer], digest: Digest, size: int, offset: int
    ) -> None:
        self._ask = ask
        self._digest = digest
        self._size = size
        self._at = offset
        self._answer: Answer | None = None
        self._failed = self._silences = 0
        self._cancelled = False

    def cancel(self) -> None:
        """Nobody wants it any more: a read ends at once, also another thread's."""
        self._cancelled = True
        answer = self._answer
        if answer is not None:
            answer.abort()

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes; none at the end. Never more than were announced."""
        while self._at < self._size:
            try:
                if self._answer is None:
                    self._answer = self._opened()
                if self._cancelled:  # perhaps before there was an answer to abort
                    raise RegistryUnreachable(f"the blob {self._digest.short} is not wanted")
                data = self._answer.read(min(size, self._size - self._at))
                if not data:
                    raise RegistryUnreachable(
                        f"the blob {self._digest.short} broke off at {self._at} of {self._size}"
                    )
            except RegistryUnreachable as error:
                unanswered = self._answer is None
                self.close()
                self._failed += 1
                if isinstance(error, Silent):
                    self._silences += _SILENCES if unanswered else 1  # that was asked twice
                if self._failed >= _RESUMED or self._silences >= _SILENCES or self._cancelled:
                    raise
                continue
            self._failed = self._silences = 0
            self._at += len(data)
            return data
        return b""

    def _opened(self) -> Answer:
        """An answer that gives what comes next, whether or not the registry knows ranges."""
        answer = self._ask(self._at)
        start = begins_at(answer.headers.get("Content-Range")) if answer.status == 206 else 0
        try:
            if start is None or start > self._at:
                raise RegistryError(f"the blob {self._digest.short} comes from another offset")
            left = self._at - start
            while left:
                data = answer.read(min(_CHUNK, left))
                if not data:
                    raise RegistryUnreachable(f"the blob {self._digest.short} broke off")
                left -= len(data)
        except BaseException:
            answer.close()
            raise
        return answer

    def close(self) -> None:
        """Stop; what is left is not asked for."""
        if self._answer is not None:
            self._answer.close()
            self._answer = None
