"""Blobs on disk and in memory: one suite; then what only a disk can do wrong."""

import errno
import io
import os
import stat

import pytest

from lamina.content.directory import BlobStore
from lamina.content.memory import MemoryBlobs
from lamina.content.verified import VerifiedReader
from lamina.errors import DigestMismatch, DiskFull, StoreDamaged
from lamina.testing.content_suite import ContentSuite, Trickle
from lamina.values.digest import BlobDigest

OWNER = "cd" * 32


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "staging").mkdir()
    return tmp_path


@pytest.fixture
def on_disk(folder):
    return BlobStore(str(folder / "blobs"), str(folder / "staging"))


class TestMemory(ContentSuite):
    @pytest.fixture
    def blobs(self):
        return MemoryBlobs()


class TestDirectory(ContentSuite):
    @pytest.fixture
    def blobs(self, on_disk):
        return on_disk

    @pytest.fixture(autouse=True)
    def _nothing_is_left_in_staging(self, folder):
        yield
        assert os.listdir(folder / "staging") == []


def test_files_are_private_and_named_by_their_digest(on_disk, folder):
    digest = on_disk.put_bytes(b"x", owner=OWNER)
    path = folder / "blobs" / "sha256" / digest.hex
    assert path.read_bytes() == b"x"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_blob_in_the_making_bears_its_owners_name(on_disk, folder):
    seen = []

    class Watching(io.BytesIO):
        def read(self, size=-1, /):
            seen.extend(os.listdir(folder / "staging"))
            return super().read(size)

    on_disk.put(Watching(b"x"), owner=OWNER)
    assert seen
    assert all(name.startswith(f"{OWNER}.blob.") for name in seen)


@pytest.mark.parametrize("damage", [b"", b"y" * 5, b"x" * 4, b"x" * 6], ids=repr)
def test_a_changed_blob_never_reads_to_its_end(on_disk, damage):
    digest = on_disk.put_bytes(b"x" * 5, owner=OWNER)
    with open(on_disk.path(digest), "wb") as file:
        file.write(damage)
    with pytest.raises(StoreDamaged, match="was changed"):
        on_disk.read(digest, 100)
    with on_disk.open(digest) as blob, pytest.raises(StoreDamaged, match="was changed"):
        list(iter(lambda: blob.read(2), b""))
    assert on_disk.put_bytes(b"x" * 5, owner=OWNER) == digest
    assert on_disk.read(digest, 5) == b"x" * 5


def test_what_no_digest_names_is_no_blob(on_disk, folder):
    digest = on_disk.put_bytes(b"x", owner=OWNER)
    for name in ("README", "ab", f"{digest.hex}.tmp"):
        (folder / "blobs" / "sha256" / name).write_text("stray")
    assert list(on_disk.all()) == [digest]


def test_a_full_disk_is_said_and_leaves_nothing(on_disk, folder, monkeypatch):
    def full(_descriptor, _data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("lamina.content.directory.write_all", full)
    with pytest.raises(DiskFull, match="No space left on device"):
        on_disk.put_bytes(b"x", owner=OWNER)
    assert os.listdir(folder / "staging") == []
    assert list(on_disk.all()) == []


def read_all(data, digest, size):
    reader = VerifiedReader(Trickle(data), digest, size)
    return b"".join(iter(lambda: reader.read(300), b""))


def test_verified_bytes_pass_unchanged():
    data = b"abc" * 999
    for size in (len(data), None):
        assert read_all(data, BlobDigest.of(data), size) == data
    assert read_all(b"", BlobDigest.of(b""), 0) == b""


@pytest.mark.parametrize("size", [0, 1, 2996, 2998, 10**9])
def test_another_size_than_promised_is_refused(size):
    data = b"abc" * 999
    with pytest.raises(DigestMismatch, match=f"and {size} were promised"):
        read_all(data, BlobDigest.of(data), size)


def test_other_bytes_than_promised_are_refused():
    for size in (3, None):
        with pytest.raises(DigestMismatch, match="as was promised"):
            read_all(b"abd", BlobDigest.of(b"abc"), size)


def test_too_much_is_refused_before_the_end_comes():
    """An endless stream must not be read to its end to be refused."""

    class Endless:
        def read(self, size, /):
            return bytes(size)

    reader = VerifiedReader(Endless(), BlobDigest.of(b"abc"), 3)
    with pytest.raises(DigestMismatch):
        reader.read(1000)
