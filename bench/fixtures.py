"""What is measured upon: a Debian root as .tar.gz and .tar, contexts, archives made to size.

Everything but the Debian root is made on the disk of the round, the same bytes every time.
"""

import hashlib
import io
import json
import os
import subprocess
import tarfile
import zlib
from collections.abc import Mapping
from typing import NamedTuple

from bench.ground import Ground
from scripts.rootfs import archive

MANY = 10_000
ENTRIES = 100_000
LARGE = 2 << 30
TWENTY = "FROM root:1\nWORKDIR /srv\nCOPY app /app\nENV MODE=bench\n" + "".join(
    f"RUN echo {number} > /made{number}\n" for number in range(16)
)
"""A Dockerfile of twenty steps over the tiny context."""
_OCI = "application/vnd.oci.image"
_BLOCK = b"".join(hashlib.sha256(b"%d" % number).digest() for number in range(1 << 15))  # 1 MiB


class Fixtures(NamedTuple):
    """Paths; `rootfs` outlives the round, the rest is on its disk."""

    rootfs: str
    uncompressed: str
    small: str
    many: str
    tiny: str
    three: str


def made(ground: Ground, base: str | None) -> Fixtures:
    """The fixtures that every round needs; `base` is another root filesystem's archive."""
    folder = os.path.join(ground.disk, "fixtures")
    os.mkdir(folder)
    rootfs = archive(base)
    uncompressed = os.path.join(folder, "rootfs.tar")
    with open(uncompressed, "wb") as target:
        subprocess.run(["gzip", "-dc", rootfs], stdout=target, check=True)
    return Fixtures(
        rootfs=rootfs,
        uncompressed=uncompressed,
        small=_archive_of(os.path.join(folder, "small.tar"), 1),
        many=_many(os.path.join(folder, "many")),
        tiny=_tiny(os.path.join(folder, "tiny")),
        three=_three(os.path.join(folder, "three")),
    )


def large(ground: Ground) -> str:
    """A tar of one file of 2 GiB that no sparse copy shortens."""
    path = os.path.join(ground.disk, "fixtures", "large.tar")
    with open(path, "wb") as target:
        target.write(_member("large", LARGE).tobuf())
        for _ in range(LARGE // len(_BLOCK)):
            target.write(_BLOCK)
        target.write(bytes(1024))
    return path


def entries(ground: Ground) -> str:
    """A tar of 100,000 small files in folders of a thousand."""
    return _archive_of(os.path.join(ground.disk, "fixtures", "entries.tar"), ENTRIES)


def hundred_thousand(ground: Ground) -> str:
    """A build context of 100,000 small files, 500 to a folder."""
    folder = os.path.join(ground.disk, "fixtures", "hundred-thousand")
    for number in range(ENTRIES):
        directory = os.path.join(folder, "data", f"{number // 500:03d}")
        if number % 500 == 0:
            os.makedirs(directory)
        with open(os.path.join(directory, str(number % 500)), "wb") as file:
            file.write(b"%08d" % number)
    return _dockerfile(folder, "FROM scratch\nCOPY data /data\n")


def ten_layers(ground: Ground) -> str:
    """An OCI layout of an image `ten`: ten layers of one file of 1 GiB of text each, by gzip."""
    layout = os.path.join(ground.disk, "ten")
    os.makedirs(os.path.join(layout, "blobs", "sha256"))
    layers = [_text_layer(layout, number) for number in range(10)]
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [diff_id for _, diff_id in layers]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{_OCI}.manifest.v1+json",
        "config": _described(layout, f"{_OCI}.config.v1+json", config),
        "layers": [blob for blob, _ in layers],
    }
    named = _described(layout, f"{_OCI}.manifest.v1+json", manifest)
    named["annotations"] = {"org.opencontainers.image.ref.name": "ten"}
    for name, document in (
        ("index.json", {"schemaVersion": 2, "manifests": [named]}),
        ("oci-layout", {"imageLayoutVersion": "1.0.0"}),
    ):
        with open(os.path.join(layout, name), "w", encoding="ascii") as file:
            json.dump(document, file)
    return layout


def _described(layout: str, media_type: str, document: Mapping[str, object]) -> dict[str, object]:
    data = json.dumps(document).encode()
    digest = hashlib.sha256(data).hexdigest()
    with open(os.path.join(layout, "blobs", "sha256", digest), "wb") as file:
        file.write(data)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}


def _text_layer(layout: str, number: int) -> tuple[dict[str, object], str]:
    """A layer's descriptor and its diff ID; it is compressed as it is made."""
    line = f"{number} the quick brown fox jumps over the lazy dog, again and again, and\n".encode()
    block = (line * (len(_BLOCK) // len(line) + 1))[: len(_BLOCK)]
    member = _member(f"text-{number}", 1 << 30).tobuf()
    plain, compressed, size = hashlib.sha256(), hashlib.sha256(), 0
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    blobs = os.path.join(layout, "blobs", "sha256")
    with open(os.path.join(blobs, "new"), "wb") as file:
        for data in (member, *(block for _ in range((1 << 30) // len(block))), bytes(1024), b""):
            plain.update(data)
            packed = packer.compress(data) if data else packer.flush()
            compressed.update(packed)
            size += file.write(packed)
    digest = compressed.hexdigest()
    os.rename(os.path.join(blobs, "new"), os.path.join(blobs, digest))
    kind = f"{_OCI}.layer.v1.tar+gzip"
    blob: dict[str, object] = {"mediaType": kind, "digest": f"sha256:{digest}", "size": size}
    return blob, f"sha256:{plain.hexdigest()}"


def _archive_of(path: str, count: int) -> str:
    with tarfile.open(path, "w") as archive_file:
        for number in range(count):
            name = f"folder-{number // 1000:03d}/file-{number:06d}.dat"
            archive_file.addfile(_member(name, 16), io.BytesIO(_BLOCK[:16]))
    return path


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size = size
    member.mtime = 1_700_000_000
    return member


def _many(folder: str) -> str:
    """A build context of 10,000 files of 4 KiB, all different."""
    for number in range(MANY):
        directory = os.path.join(folder, "data", f"{number // 100:02d}")
        os.makedirs(directory, exist_ok=True)
        with open(os.path.join(directory, f"{number:05d}"), "wb") as file:
            file.write(b"%08d" % number + _BLOCK[number : number + 4088])
    return _dockerfile(folder, "FROM scratch\nCOPY data /data\n")


def _tiny(folder: str) -> str:
    """A build context of one small file, for three steps over the Debian root."""
    os.makedirs(folder)
    with open(os.path.join(folder, "app"), "wb") as file:
        file.write(_BLOCK[:100])
    return _dockerfile(folder, "FROM root:1\nENV MODE=bench\nCOPY app /app\nRUN true > /made\n")


def _three(folder: str) -> str:
    """A build context for a small and a larger layer of real files over the Debian root."""
    os.makedirs(folder)
    return _dockerfile(
        folder,
        "FROM root:1\nRUN mkdir /opt/a && cp -a /etc /var/lib/dpkg /opt/a\n"
        "RUN mkdir /opt/b && cp -a /usr/share /usr/bin /opt/b\n",
    )


def _dockerfile(folder: str, text: str) -> str:
    with open(os.path.join(folder, "Dockerfile"), "w", encoding="ascii") as file:
        file.write(text)
    return folder
