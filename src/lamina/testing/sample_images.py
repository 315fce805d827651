"""Tiny images in every form that tools of the field write, made without Lamina's own writers.

`sample` makes an image of layers stated in the language of `lamina.testing.trees`; `classic`,
`linked`, `hybrid` and `layout` give its files as docker 1.10 to 24, docker's old links between
layers, docker since 25 and an OCI layout hold them; `as_tar` and `as_directory` put files down.
"""

import gzip
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from lamina.spec.strictjson import Json
from lamina.testing.trees import tar_of

Files: TypeAlias = dict[str, "bytes | Link"]
Pack: TypeAlias = Callable[[bytes], bytes]


class Link(NamedTuple):
    """A member that is a symbolic link."""

    target: str


class Sample(NamedTuple):
    """An image: its config's bytes, its layers' plain tars, lowest first, and its names."""

    config: bytes
    layers: tuple[bytes, ...]
    names: tuple[str, ...]

    @property
    def id(self) -> str:
        """The image ID."""
        return digest(self.config)

    @property
    def diff_ids(self) -> list[str]:
        """The layers' digests."""
        return [digest(layer) for layer in self.layers]


def digest(data: bytes) -> str:
    """`sha256:` and 64 hexadecimal digits."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def packed(data: bytes) -> bytes:
    """Compressed by gzip, always to the same bytes."""
    return gzip.compress(data, mtime=0)


def sample(*layers: str | bytes, names: Sequence[str] = (), **fields: Json) -> Sample:
    """An image of these layers; `fields` are further fields of its config document."""
    tars = tuple(tar_of(each) if isinstance(each, str) else each for each in layers)
    document: dict[str, Json] = {
        "architecture": "amd64",
        "os": "linux",
        "created": "2024-01-02T03:04:05.678Z",
        "config": {"Cmd": ["/bin/sh"], "Env": ["PATH=/bin"]},
        "history": [
            {"created": "2024-01-02T03:04:05Z", "created_by": f"step {number}"}
            for number in range(len(tars))
        ],
        "rootfs": {"type": "layers", "diff_ids": [digest(tar) for tar in tars]},
        **fields,
    }
    return Sample(json.dumps(document).encode(), tars, tuple(names))


def classic(*samples: Sample, pack: Pack = bytes) -> Files:
    """`docker save` of 1.10 to 24: `<id>/layer.tar` and `<image id>.json`."""
    files: Files = {}
    items = []
    for image in samples:
        paths = [f"{digest(tar)[7:]}/layer.tar" for tar in image.layers]
        files.update({path: pack(tar) for path, tar in zip(paths, image.layers, strict=True)})
        files[f"{image.id[7:]}.json"] = image.config
        items.append(_item(f"{image.id[7:]}.json", image, paths))
    return {**files, "manifest.json": json.dumps(items).encode()}


def linked(*samples: Sample) -> Files:
    """The same, where a layer that came before is a link to where it lies."""
    files: Files = {}
    items = []
    first: dict[str, str] = {}
    for number, image in enumerate(samples):
        paths = []
        for level, tar in enumerate(image.layers):
            folder = hashlib.sha256(b"%d %d" % (number, level)).hexdigest()
            known = first.setdefault(digest(tar), folder)
            files[f"{folder}/VERSION"] = b"1.0"
            files[f"{folder}/json"] = b"{}"
            files[f"{folder}/layer.tar"] = tar if known == folder else Link(f"../{known}/layer.tar")
            paths.append(f"{folder}/layer.tar")
        files[f"{image.id[7:]}.json"] = image.config
        items.append(_item(f"{image.id[7:]}.json", image, paths))
    return {**files, "manifest.json": json.dumps(items).encode(), "repositories": b"{}"}


def hybrid(*samples: Sample, pack: Pack = bytes) -> Files:
    """`docker save` since 25: an OCI layout with a manifest.json that names the same blobs."""
    files = layout(*samples, pack=pack, config_type="application/vnd.oci.image.config.v1+json")
    items = []
    for image in samples:
        paths = [_blob(pack(tar)) for tar in image.layers]
        items.append(_item(_blob(image.config), image, paths))
    return {**files, "manifest.json": json.dumps(items).encode()}


def layout(
    *samples: Sample,
    pack: Pack = packed,
    config_type: str = "application/vnd.oci.image.config.v1+json",
    layer_type: str = "",
) -> Files:
    """An OCI layout; each name is a descriptor of its own."""
    files: Files = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}
    descriptors: list[dict[str, Json]] = []
    for image in samples:
        manifest = oci_manifest(image, pack=pack, config_type=config_type, layer_type=layer_type)
        blobs = [image.config, manifest, *(pack(tar) for tar in image.layers)]
        files.update({_blob(data): data for data in blobs})
        for name in image.names or ("",):
            made = descriptor("application/vnd.oci.image.manifest.v1+json", manifest)
            if name:
                made["annotations"] = {"org.opencontainers.image.ref.name": name}
            descriptors.append(made)
    return {**files, "index.json": index(*descriptors)}


def oci_manifest(
    image: Sample,
    *,
    pack: Pack = packed,
    config_type: str = "application/vnd.oci.image.config.v1+json",
    layer_type: str = "",
) -> bytes:
    """The manifest's bytes."""
    kind = layer_type or "application/vnd.oci.image.layer.v1.tar" + (
        "+gzip" if pack is packed else ""
    )
    document: dict[str, Json] = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor(config_type, image.config),
        "layers": [descriptor(kind, pack(tar)) for tar in image.layers],
    }
    return json.dumps(document).encode()


def index(*descriptors: Mapping[str, Json]) -> bytes:
    """An index's bytes."""
    return json.dumps({"schemaVersion": 2, "manifests": list(map(dict, descriptors))}).encode()


def descriptor(media_type: str, data: bytes, **fields: Json) -> dict[str, Json]:
    """A descriptor of `data`."""
    return {"mediaType": media_type, "digest": digest(data), "size": len(data), **fields}


def _blob(data: bytes) -> str:
    return "blobs/" + digest(data).replace(":", "/")


def _item(config: str, image: Sample, paths: Sequence[str]) -> dict[str, Json]:
    return {"Config": config, "RepoTags": list(image.names) or None, "Layers": list(paths)}


def as_tar(files: Files) -> bytes:
    """The files as an archive, in their order."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            if isinstance(data, Link):
                info.type, info.linkname = tarfile.SYMTYPE, data.target
                archive.addfile(info)
            else:
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def as_directory(files: Files, folder: str) -> str:
    """The files beneath `folder`; gives `folder`."""
    for name, data in files.items():
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if isinstance(data, Link):
            os.symlink(data.target, path)
        else:
            with open(path, "wb") as file:
                file.write(data)
    return folder
