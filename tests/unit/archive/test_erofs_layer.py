"""What a tar cannot hold where an image could point at it, and what an image cannot hold at all."""

import ctypes
import io
import mmap
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from lamina.archive.entry import FILE, Entry
from lamina.archive.erofs import keeping
from lamina.archive.erofs.chunks import chunk_map
from lamina.archive.erofs.layer import write_layer
from lamina.archive.erofs.reader import check_image
from lamina.archive.reader import read
from lamina.archive.writer import head
from lamina.errors import StorageError, StoreDamaged
from lamina.fs.erofs import mount_image
from lamina.testing.trees import tar_of

pytestmark = pytest.mark.usefixtures("needs_root", "needs_erofs")
BLOCK = 512


@pytest.fixture
def mounted(tmp_path: Path) -> Callable[[bytes], str]:
    """A function that makes a layer of a tar in `tmp_path`, checks it, and gives its tree."""

    def make(tar: bytes) -> str:
        write_layer(str(tmp_path), read(io.BytesIO(tar)), None, None)
        data = f"{tmp_path}/layer.data"
        check_image(
            f"{tmp_path}/layer.erofs",
            f"{tmp_path}/layer.tar",
            data if os.path.exists(data) else None,
        )
        devices = [f"{tmp_path}/layer.tar", data]
        found = tuple(each for each in devices if os.path.exists(each))
        descriptors.append(mount_image(f"{tmp_path}/layer.erofs", found).descriptor)
        return f"/proc/self/fd/{descriptors[-1]}"

    descriptors: list[int] = []
    yield make
    for each in descriptors:
        os.close(each)


def member(name: bytes, body: bytes, padding: bytes = b"\0") -> bytes:
    entry = Entry(name, FILE, 0o644, size=len(body))
    return head(entry) + body + padding * (-len(body) % BLOCK)


def test_what_follows_a_file_in_its_block_is_not_seen(
    mounted: Callable[[bytes], str], tmp_path: Path
) -> None:
    """A tar may pad with anything; a mapping shows the block to its end."""
    tar = member(b"dirty", b"text", b"S") + member(b"clean", b"text") + bytes(1024)
    root = mounted(tar)
    for name in ("dirty", "clean"):
        assert mapped_page(f"{root}/{name}") == b"text" + bytes(4092)
    assert (tmp_path / "layer.tar").read_bytes() == tar
    assert (tmp_path / "layer.data").exists()


def mapped_page(path: str) -> bytes:
    """The page that a mapping of a short file shows, beyond its end, too."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as mapped:
        first = ctypes.c_char.from_buffer(mapped)
        shown = ctypes.string_at(ctypes.addressof(first), mmap.PAGESIZE)
        del first
        return shown


def sparse_tar(size: int, *regions: tuple[int, bytes]) -> bytes:
    """A file with holes in GNU's PAX form 0.1, as GNU tar writes it."""
    out = io.BytesIO()
    text = ",".join(f"{offset},{len(data)}" for offset, data in regions)
    info = tarfile.TarInfo("sparse")
    body = b"".join(data for _, data in regions)
    info.size = len(body)
    info.pax_headers = {"GNU.sparse.map": text, "GNU.sparse.size": str(size)}
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(info, io.BytesIO(body))
    return out.getvalue()


@pytest.mark.parametrize(
    ("regions", "copied"),
    [
        (((0, b"a" * 4096), (1 << 20, b"b" * 8192)), False),
        (((512, b"a" * 512), (4096, b"b" * 1024)), False),
        (((1 << 20, b"b" * 8192),), False),
        (((100, b"a" * 512), (4096, b"b" * 1024)), True),
        (((0, b"a" * 100), (4096, b"b" * 1024)), True),
        (((512, b"a" * 512), (1 << 20, b"b" * 100)), True),
    ],
)
def test_holes_stay_holes_by_chunks_or_by_a_copy(
    mounted: Callable[[bytes], str],
    tmp_path: Path,
    regions: tuple[tuple[int, bytes], ...],
    copied: bool,
) -> None:
    size = (3 << 20) + 77
    wanted = bytearray(size)
    for offset, data in regions:
        wanted[offset : offset + len(data)] = data
    root = mounted(sparse_tar(size, *regions))
    with open(f"{root}/sparse", "rb") as file:
        assert file.read() == wanted
    assert (tmp_path / "layer.data").exists() == copied
    if copied:
        assert (tmp_path / "layer.data").stat().st_blocks * 512 < size


def test_one_hole_of_a_tebibyte_takes_no_room(
    mounted: Callable[[bytes], str], tmp_path: Path
) -> None:
    root = mounted(sparse_tar(1 << 40, (100, b"data")))
    with open(f"{root}/sparse", "rb") as file:
        assert file.read(200) == bytes(100) + b"data" + bytes(96)
        assert os.fstat(file.fileno()).st_size == 1 << 40
        file.seek(-5, os.SEEK_END)
        assert file.read() == bytes(5)
    assert (tmp_path / "layer.data").stat().st_blocks < 100


def test_the_fewest_chunks_are_taken() -> None:
    assert chunk_map(1 << 30, (), 0) is not None
    found = chunk_map(1 << 30, ((1 << 29, 1 << 29),), 7)
    assert found is not None
    assert len(found.indexes) == 16
    assert chunk_map(1 << 30, ((512, 512),), 0) is None  # two million chunks
    assert chunk_map(1024, ((512, 512),), 5) is not None


def test_what_no_image_can_point_into_is_refused(
    mounted: Callable[[bytes], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StorageError, match="2 TiB"):
        mounted(sparse_tar(3 << 40, (100, b"data")))


def test_a_tar_beyond_what_can_be_pointed_at_is_refused(
    mounted: Callable[[bytes], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "BLOCK_LIMIT", 4096)
    with pytest.raises(StorageError, match="2 TiB"):
        mounted(member(b"large", bytes(4 << 20)) + bytes(1024))


def test_a_change_of_what_lies_beside_the_tar_is_found(
    mounted: Callable[[bytes], str], tmp_path: Path
) -> None:
    mounted(sparse_tar(1 << 20, (100, b"data")))
    data = tmp_path / "layer.data"
    data.chmod(0o600)
    for at, byte in ((100, b"x"), (9000, b"x")):
        with data.open("r+b") as file:
            file.seek(at)
            old = file.read(1)
            file.seek(at)
            file.write(byte)
            file.flush()
            with pytest.raises(StoreDamaged, match="changed"):
                check_image(f"{tmp_path}/layer.erofs", f"{tmp_path}/layer.tar", str(data))
            file.seek(at)
            file.write(old)
    check_image(f"{tmp_path}/layer.erofs", f"{tmp_path}/layer.tar", str(data))


def test_attributes_that_many_share_are_held_once(
    mounted: Callable[[bytes], str], tmp_path: Path
) -> None:
    """And much that is kept for later is kept on disk, and leaves no file behind."""
    text = "".join(f"l l{number} -> {'t' * 4000}{number}\n" for number in range(600))
    root = mounted(tar_of(text))
    assert os.readlink(f"{root}/l599") == "t" * 4000 + "599"
    assert sorted(os.listdir(tmp_path)) == ["layer.erofs", "layer.tar"]
