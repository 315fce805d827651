"""What every store of blobs must do, as one class of pytest tests.

A store hooks in by a subclass with one fixture:

    class TestMine(ContentSuite):
        @pytest.fixture
        def blobs(self, tmp_path):
            return MyBlobs(str(tmp_path))
"""

import hashlib
import io

import pytest

from lamina.content.api import Blobs
from lamina.errors import DigestMismatch, StoreDamaged
from lamina.values.digest import BlobDigest, Digest

_OWNER = "ab" * 32
_LARGE = bytes(range(256)) * 20_000


class Trickle:
    """A stream that gives few bytes at a time, and fails in the end when it is told to."""

    def __init__(self, data: bytes, error: Exception | None = None) -> None:
        self._left = data
        self._error = error

    def read(self, size: int, /) -> bytes:
        """At most 1,000 bytes."""
        taken = min(size, 1000)
        data, self._left = self._left[:taken], self._left[taken:]
        if not data and self._error is not None:
            raise self._error
        return data


class ContentSuite:
    """Every case a store of blobs must pass."""

    @pytest.mark.parametrize("data", [b"", b"small", _LARGE], ids=["empty", "small", "large"])
    def test_what_is_put_is_what_is_read(self, blobs: Blobs, data: bytes) -> None:
        digest, size = blobs.put(Trickle(data), owner=_OWNER)
        assert digest == BlobDigest.of(data)
        assert size == len(data)
        assert blobs.has(digest)
        with blobs.open(digest) as stream:
            assert b"".join(iter(lambda: stream.read(4096), b"")) == data
        assert blobs.read(digest, len(data)) == data

    def test_putting_again_changes_nothing(self, blobs: Blobs) -> None:
        first = blobs.put(io.BytesIO(b"x"), owner=_OWNER)
        assert blobs.put(io.BytesIO(b"x"), owner=_OWNER) == first
        assert blobs.put_bytes(b"x", owner=_OWNER) == first[0]
        assert list(blobs.all()) == [first[0]]

    def test_the_promised_digest_must_come(self, blobs: Blobs) -> None:
        wanted = BlobDigest.of(b"promised")
        with pytest.raises(DigestMismatch):
            blobs.put(io.BytesIO(b"something else"), owner=_OWNER, expect=wanted)
        assert not blobs.has(wanted)
        assert list(blobs.all()) == []
        assert blobs.put(io.BytesIO(b"promised"), owner=_OWNER, expect=wanted)[0] == wanted

    def test_other_digests_are_kept_under_their_own_name(self, blobs: Blobs) -> None:
        wanted = Digest("sha512:" + hashlib.sha512(b"x").hexdigest())
        digest, _ = blobs.put(io.BytesIO(b"x"), owner=_OWNER, expect=wanted)
        assert digest == wanted
        assert blobs.read(wanted, 1) == b"x"
        assert not blobs.has(BlobDigest.of(b"x"))

    def test_a_failing_stream_leaves_nothing(self, blobs: Blobs) -> None:
        with pytest.raises(KeyError):
            blobs.put(Trickle(b"half", KeyError("stream")), owner=_OWNER)
        assert list(blobs.all()) == []

    def test_what_is_not_here_is_said_to_be_missing(self, blobs: Blobs) -> None:
        absent = BlobDigest.of(b"absent")
        assert not blobs.has(absent)
        with pytest.raises(StoreDamaged, match="missing"):
            blobs.open(absent)
        with pytest.raises(StoreDamaged, match="missing"):
            blobs.read(absent, 10)
        blobs.remove(absent)

    def test_a_limit_is_kept(self, blobs: Blobs) -> None:
        digest = blobs.put_bytes(b"12345", owner=_OWNER)
        assert blobs.read(digest, 5) == b"12345"
        with pytest.raises(StoreDamaged):
            blobs.read(digest, 4)

    def test_removed_is_gone(self, blobs: Blobs) -> None:
        kept = blobs.put_bytes(b"kept", owner=_OWNER)
        gone = blobs.put_bytes(b"gone", owner=_OWNER)
        blobs.remove(gone)
        assert not blobs.has(gone)
        assert list(blobs.all()) == [kept]

    def test_all_are_listed_in_order(self, blobs: Blobs) -> None:
        put = [blobs.put_bytes(str(number).encode(), owner=_OWNER) for number in range(20)]
        assert list(blobs.all()) == sorted(put)

    def test_a_reader_outlives_the_removal(self, blobs: Blobs) -> None:
        digest = blobs.put_bytes(b"still read", owner=_OWNER)
        with blobs.open(digest) as stream:
            blobs.remove(digest)
            assert stream.read(100) == b"still read"
            assert stream.read(100) == b""
