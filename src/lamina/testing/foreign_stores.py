"""Stores of other engines, laid out by hand as those engines do, from sample images.

Real stores are read in the integration tests; these can be bent in every way.
"""

import base64
import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path

from lamina.spec.strictjson import Json
from lamina.testing.sample_images import Sample, digest


def tar_split(tar: bytes) -> bytes:
    """tar-split's data of a tar whose bodies are whole blocks of plain files, by tarfile."""
    lines: list[dict[str, Json]] = []
    at = 0

    def segment(end: int) -> None:
        payload = base64.b64encode(tar[at:end]).decode()
        lines.append({"type": 2, "payload": payload, "position": len(lines)})

    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        for member in archive:
            segment(member.offset_data)
            at = member.offset_data
            piece: dict[str, Json] = {
                "type": 1,
                "name": member.name,
                "payload": None,
                "position": len(lines),
            }
            if member.isreg() and member.size:
                piece["size"] = member.size
                at += member.size
            lines.append(piece)
    segment(len(tar))
    return gzip.compress("".join(json.dumps(line) + "\n" for line in lines).encode())


def _unpack(tar: bytes, folder: Path) -> None:
    """The regular files of a layer, where an engine's driver has them."""
    folder.mkdir(parents=True)
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        for member in archive:
            path = folder / member.name
            if member.isdir():
                path.mkdir(exist_ok=True)
            elif member.isreg() and not path.name.startswith(".wh."):
                content = archive.extractfile(member)
                path.write_bytes(content.read() if content is not None else b"")
            elif member.issym():
                path.symlink_to(member.linkname)


def put(path: Path, data: bytes | str) -> None:
    """Write a file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())


def docker(
    root: Path, *samples: Sample, driver: str = "overlay2", files: str = "overlay2/{}/diff"
) -> Path:
    """docker's data root with these images."""
    image = root / "image" / driver
    names: dict[str, dict[str, str]] = {}
    for made in samples:
        put(image / "imagedb/content/sha256" / made.id[7:], made.config)
        for name in made.names:
            repository = name.rpartition(":")[0]
            names.setdefault(repository, {})[name] = made.id
        chain = ""
        for tar in made.layers:
            diff_id = digest(tar)
            chain = digest(f"{chain} {diff_id}".encode()) if chain else diff_id
            cache_id = hashlib.sha256(b"cache" + chain.encode()).hexdigest()
            record = image / "layerdb/sha256" / chain[7:]
            put(record / "diff", diff_id)
            put(record / "cache-id", cache_id)
            put(record / "size", str(len(tar)))
            put(record / "tar-split.json.gz", tar_split(tar))
            if not (root / files.format(cache_id)).exists():
                _unpack(tar, root / files.format(cache_id))
    put(image / "repositories.json", json.dumps({"Repositories": names}))
    return root


def podman(root: Path, *samples: Sample) -> Path:
    """containers-storage's graph root with these images."""
    images: list[Json] = []
    layers: dict[str, Json] = {}
    for made in samples:
        parent = ""
        for tar in made.layers:
            layer = hashlib.sha256(parent.encode() + tar).hexdigest()
            if layer not in layers:
                layers[layer] = {
                    "id": layer,
                    "parent": parent,
                    "diff-digest": digest(tar),
                    "diff-size": len(tar),
                }
                _unpack(tar, root / f"overlay/{layer}/diff")
                put(root / f"overlay-layers/{layer}.tar-split.gz", tar_split(tar))
            parent = layer
        images.append({"id": made.id[7:], "names": list(made.names), "layer": parent})
        name = base64.b64encode(made.id.encode()).decode()
        put(root / "overlay-images" / made.id[7:] / f"={name}", made.config)
    put(root / "overlay-images/images.json", json.dumps(images))
    put(root / "overlay-layers/layers.json", json.dumps(list(layers.values())))
    return root
