"""One blob on its way to a registry: whole, or in chunks, and on from where it broke off.

Whole is how it begins. What breaks off is asked for at the registry and goes on in chunks; so does
what is too large in one piece for it, or for a proxy before it. What a registry says of where it is
holds only between what it has said before and what was sent: its Range is somebody else's word, and
the digest that it checks at the end is the proof. Knows neither repositories nor what a blob is.
"""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit

from lamina.content.verified import ByteStream
from lamina.errors import RegistryError, RegistryUnreachable, StoreDamaged
from lamina.registry.address import joined, same_host
from lamina.registry.session import PASSING, Session
from lamina.registry.transport import Answer, Silent
from lamina.values.digest import Digest
from lamina.values.size import human_binary

_PIECE = 1 << 16  # bytes that even a slow line takes within the timeout of one
_CHUNK = 16 << 20  # bytes at once, where nobody said how many
_SMALLEST = 1 << 18  # bytes at once, under which nothing is tried
_SHRINK = 4
_STARTS = 3  # times that a blob is begun with
_STUCK = 3  # times in a row that next to nothing was taken
_REFUSALS = 8  # times that a size is refused
_HEADWAY = 1 << 20  # bytes after which it is not the same trouble any more
_RANGE = re.compile(r"(?:bytes[ =])?0-(\d{1,18})")
_LOST = (400, 404, 405, 410, 416)  # what is asked for is not there any more, or cannot be asked for

Opener = Callable[[], ByteStream]


class Place(NamedTuple):
    """Where an upload is to be sent, and the least number of bytes that a chunk there may have."""

    url: str
    least: int = 0

    @classmethod
    def told(cls, answer: Answer, session: Session, least: int = 0) -> "Place":
        """What an answer says, else `least`; raises `RegistryError` for another host."""
        target = joined(answer.url, answer.headers.get("Location", ""))
        if not same_host(target, session.address.base):
            raise RegistryError(
                f"{session.address.host} wants uploads at {urlsplit(target).netloc or 'no place'}",
                hint="no credential is sent to another host",
            )
        said = answer.headers.get("OCI-Chunk-Min-Length", "")
        is_known = said.isascii() and said.isdigit() and len(said) < 16
        return cls(target, int(said) if is_known else least)


class _Broken(Exception):
    """It broke off, and may go on; `error` is how it ends if it does not."""

    def __init__(self, error: RegistryError) -> None:
        super().__init__()
        self.error = error


class _TooLarge(Exception):
    """It is refused for its size; `error` says so."""

    def __init__(self, error: RegistryError) -> None:
        super().__init__()
        self.error = error


class Upload:
    """Sends one blob of `size` bytes, in chunks of `chunk` bytes where it is larger (0: whole).

    `opener` gives its bytes from the start. `begin` asks for a place to send to, and `has` whether
    the registry has the blob. `scope` is what a token must be for.
    """

    def __init__(
        self,
        session: Session,
        scope: str,
        digest: Digest,
        size: int,
        opener: Opener,
        *,
        begin: Callable[[], Place | None],
        has: Callable[[], bool],
        chunk: int = 0,
    ) -> None:
        self._session = session
        self._scope = scope
        self._digest = digest
        self._size = size
        self._begin = begin
        self._has = has
        self._chunk = chunk
        self._bytes = _Bytes(opener, size)
        self._place: Place | None = None
        self._at = 0  # bytes that the registry has by its own word
        self._mark = 0  # of them, when there was trouble last
        self._starts = self._stuck = self._refusals = 0

    def send(self, place: Place | None) -> None:
        """Have the blob at the registry; `place` is where it said to send it.

        Raises `RegistryError` or `RegistryUnreachable`; bounded, whatever is answered.
        """
        self._place = place
        while (now := self._place or self._started()) is not None:
            self._place = now
            try:
                self._attempt(now)
            except _TooLarge as refused:
                self._shrink(refused.error, self._place.least)
                self._place = self._found(self._place) if self._at else None
            except _Broken as broken:
                self._count(broken.error)
                self._place = self._found(self._place)
                if self._place is None and self._has():
                    return  # all of it had come, and only the answer was lost
                self._chunk = self._chunk or _CHUNK
            else:
                return

    def _started(self) -> Place | None:
        """A new place, with nothing there; None where the registry has the blob by now."""
        self._at = self._mark = 0
        return self._begin()

    def _count(self, error: RegistryError) -> None:
        """Trouble again; raises it where it has been too often."""
        self._stuck = self._stuck + 1 if self._at - self._mark < _HEADWAY else 1
        self._mark = self._at
        if self._stuck >= _STUCK:
            raise error

    def _shrink(self, error: RegistryError, least: int) -> None:
        """Send less at once from now on; raises the error where that cannot be."""
        before = min(self._chunk or self._size, self._size)
        smaller = _CHUNK if before > _CHUNK else before // _SHRINK
        self._refusals += 1
        if smaller < max(_SMALLEST, least) or self._refusals >= _REFUSALS:
            raise error
        self._chunk = smaller

    # --- one way through ----------------------------------------------------------------

    def _attempt(self, place: Place) -> None:
        if place.least:
            self._chunk = max(self._chunk or _CHUNK, place.least)
        if not self._at and (not self._chunk or self._chunk >= self._size):
            self._put(place, self._size)
            return
        while self._at < self._size:
            place = self._place = self._patch(place)
        self._put(place, 0)

    def _put(self, place: Place, count: int) -> None:
        """End it, with so many bytes, which are all or none."""
        joint = "&" if urlsplit(place.url).query else "?"
        url = f"{place.url}{joint}{urlencode({'digest': str(self._digest)})}"
        with self._asked("PUT", url, count, {}, (201, 204)) as answer:
            answer.whole()

    def _patch(self, place: Place) -> Place:
        """Send one chunk; gives where the next one goes."""
        end = min(self._at + self._chunk, self._size)
        said = {"Content-Range": f"{self._at}-{end - 1}"}
        with self._asked("PATCH", place.url, end - self._at, said, (202, 201, 204)) as answer:
            answer.whole()
            following = Place.told(answer, self._session, place.least)
            text = answer.headers.get("Range")
        self._at = end if text is None else self._taken(text, end)
        if self._at < end:
            short = f"takes {self._at} bytes of a blob, of which {end} were sent"
            raise _Broken(self._complaint(short))
        return following

    def _asked(
        self, method: str, url: str, count: int, headers: dict[str, str], expected: tuple[int, ...]
    ) -> Answer:
        """Send so many bytes from where it is; an answer that is well, or what is to be done."""
        about = {"Content-Length": str(count), "Content-Type": "application/octet-stream"}
        try:
            answer = self._session.request(
                method,
                url,
                scope=self._scope,
                expected=(*expected, *PASSING, 413, 416),
                headers={**about, **headers},
                body=lambda: self._bytes.pieces(self._at, count),
                repeat=False,
            )
        except Silent:
            raise  # it has all of it, or does not take it
        except RegistryUnreachable as error:
            raise _Broken(error) from error
        if answer.status in expected:
            return answer
        with answer:
            refusal = self._session.refusal(method, answer)
        if answer.status == 413:
            raise _TooLarge(refusal)
        if answer.status in PASSING:
            self._session.wait(answer)
        raise _Broken(refusal)

    # --- where it is --------------------------------------------------------------------

    def _found(self, place: Place) -> Place | None:
        """Ask the registry where it is; None where it has to be begun with anew."""
        if self._bytes.sent and (found := self._status(place)) is not None:
            return found
        self._starts += 1
        if self._starts >= _STARTS:
            raise self._complaint(f"has lost what was sent of a blob {_STARTS} times")
        return None

    def _status(self, place: Place) -> Place | None:
        with self._session.request(
            "GET", place.url, scope=self._scope, expected=(204, 202, 200, *_LOST)
        ) as answer:
            answer.whole()
            text = answer.headers.get("Range")
            if answer.status in _LOST or text is None:
                return None
            found = Place.told(answer, self._session, place.least)
        self._at = self._taken(text, self._bytes.sent)
        return found

    def _taken(self, text: str, sent: int) -> int:
        """How many bytes a registry says that it has, of so many that were sent."""
        found = _RANGE.fullmatch(text.strip())
        if found is None:
            raise self._complaint(f"says {text[:60]!r} of what it has of a blob")
        last = int(found[1])
        taken = last + 1 if last or sent == 1 else 0  # docker's registry calls nothing 0-0, too
        if taken > sent:
            raise self._complaint(f"says that it has {taken} bytes of a blob, and got {sent}")
        if taken < self._at:
            raise self._complaint(f"has {taken} bytes of a blob, of which it had {self._at}")
        return taken

    def _complaint(self, what: str) -> RegistryError:
        host, name = self._session.address.host, self._digest.short
        return RegistryError(f"{host} {what}: {name} of {human_binary(self._size)} is not sent")


class _Bytes:
    """A blob's bytes from any offset on: read on where that can be, else from the start again.

    `sent` is how far anything was ever handed over.
    """

    def __init__(self, opener: Opener, size: int) -> None:
        self._opener = opener
        self._size = size
        self._stream: ByteStream | None = None
        self._read = 0
        self.sent = 0

    def pieces(self, at: int, count: int) -> Iterator[bytes]:
        """So many bytes from an offset on, and never one more: it would be another request.

        Raises `StoreDamaged` when there are fewer in all than the blob's size, or more.
        """
        if not count:
            return
        stream = self._from(at)
        end = at + count
        while self._read < end:
            data = self._next(stream, end)
            self.sent = max(self.sent, self._read)
            yield data

    def _from(self, at: int) -> ByteStream:
        stream = self._stream
        if stream is None or self._read != at or not at:
            stream = self._stream = self._opener()
            self._read = 0
            while self._read < at:
                self._next(stream, at)
        return stream

    def _next(self, stream: ByteStream, end: int) -> bytes:
        data = stream.read(min(_PIECE, end - self._read))
        self._read += len(data)
        if not data or (self._read == self._size and stream.read(1)):
            raise StoreDamaged(
                f"a blob has another size than the {self._size} bytes its manifest says"
            )
        return data
