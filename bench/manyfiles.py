"""An image of so many small files, as a docker archive: a tenth of them is stored twice, a tenth
deleted again by the second layer. The same bytes every time.
"""

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterator

_MTIME = 1_700_000_000


def archive_of(path: str, files: int, name: str) -> str:
    """Write the image `name` to `path`; gives that."""
    every = [
        f"usr/lib/part{n // 2000:03d}/some{n // 100 % 20:02d}/file{n:06d}" for n in range(files)
    ]
    layers = [f"{path}.{number}" for number in range(2)]
    _layer(layers[0], _members(every, 40, 200))
    gone = (_without(each) for each in every[5::10])
    _layer(layers[1], (*_members(every[::10], 60, 300), *gone))
    digests = [_digest(layer) for layer in layers]
    history = [{"created_by": "COPY tree /"}, {"created_by": "RUN change-and-remove"}]
    ids = [f"sha256:{each}" for each in digests]
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": ids},
        "history": history,
    }
    names = [f"{each}.tar" for each in digests]
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": names}]
    with tarfile.open(path, "w") as out:
        for layer, inside in zip(layers, names, strict=True):
            out.add(layer, arcname=inside)
            os.unlink(layer)
        for inside, document in (("config.json", config), ("manifest.json", manifest)):
            data = json.dumps(document).encode()
            out.addfile(_sized(inside, len(data)), io.BytesIO(data))
    return path


Member = tuple[tarfile.TarInfo, bytes]


def _members(names: list[str], least: int, spread: int) -> Iterator[Member]:
    for number, name in enumerate(names):
        data = b"%08d" % number * ((least + number % spread) // 8)
        yield _sized(name, len(data)), data


def _without(name: str) -> Member:
    folder, _, base = name.rpartition("/")
    return _sized(f"{folder}/.wh.{base}", 0), b""


def _sized(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mtime = size, _MTIME
    return member


def _layer(path: str, members: "Iterator[Member] | tuple[Member, ...]") -> None:
    folders: set[str] = set()
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as out:
        for member, data in members:
            for folder in _new(member.name, folders):
                out.addfile(folder)
            out.addfile(member, io.BytesIO(data))


def _new(name: str, known: set[str]) -> Iterator[tarfile.TarInfo]:
    """The folders of a name that no member was in before, from the top."""
    parts = name.split("/")[:-1]
    for end in range(1, len(parts) + 1):
        folder = "/".join(parts[:end])
        if folder not in known:
            known.add(folder)
            member = _sized(folder, 0)
            member.type, member.mode = tarfile.DIRTYPE, 0o755
            yield member


def _digest(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
