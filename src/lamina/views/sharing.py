"""What is shared and where the bytes are, as documents: `tree` and `df`."""

from collections.abc import Sequence

from lamina.analyze.sharing import Sharing, sharing
from lamina.analyze.strata import Column, Strata, strata
from lamina.engine.system import ImageLayers, Usage
from lamina.layers.layer import Layer
from lamina.values.digest import ChainID
from lamina.values.size import human

Document = dict[str, object]


def strata_of(images: Sequence[ImageLayers]) -> Strata:
    """The picture's columns and blocks; an image without a name is called by its ID."""
    columns = [
        Column(image.names[0] if image.names else image.id.short, image.layers, image.commands)
        for image in images
    ]
    return strata(columns)


def stored_of(images: Sequence[ImageLayers]) -> dict[ChainID, int]:
    """What each layer takes up on disk; what one that no image has is kept for counts there."""
    drawn = {layer.chain_id for image in images for layer in image.layers}
    found: dict[ChainID, int] = {}
    counted: set[ChainID] = set()
    for image in images:
        bases = {base.id: base for base in image.bases if base.chain_id not in drawn}
        for layer in image.layers:
            found.setdefault(layer.chain_id, layer.written)
            base = bases.get(layer.base) if layer.base is not None else None
            if base is not None and base.chain_id not in counted:
                counted.add(base.chain_id)
                found[layer.chain_id] += base.written
    return found


def tree_document(images: Sequence[ImageLayers]) -> Document:
    """Images and stored layers with their users, for machines."""
    counted = sharing([image.chain for image in images])
    return {
        "LayersAsked": counted.asked,
        "LayersStored": counted.stored,
        "BytesAsked": counted.asked_bytes,
        "BytesStored": counted.stored_bytes,
        "Images": [
            {
                "Id": image.id,
                "Names": list(image.names),
                "Layers": [layer.chain_id for layer in image.layers],
            }
            for image in images
        ],
        "Layers": _layers(images),
    }


def _layers(images: Sequence[ImageLayers]) -> list[Document]:
    users: dict[ChainID, list[str]] = {}
    seen: dict[ChainID, Document] = {}
    for image in images:
        for number, layer in enumerate(image.layers):
            users.setdefault(layer.chain_id, []).append(image.id)
            command = image.commands[number] if number < len(image.commands) else ""
            seen.setdefault(
                layer.chain_id,
                {
                    "ChainId": layer.chain_id,
                    "DiffId": layer.diff_id,
                    "Size": layer.size,
                    "CreatedBy": command,
                },
            )
    return [{**document, "Images": users[chain]} for chain, document in seen.items()]


def df_document(usage: Usage) -> Document:
    """Bytes by kind, exact: what is stored, and what of it nothing needs any more."""
    named = {piece.chain_id for image in usage.images for piece in image.pieces}
    used = {piece.chain_id for image in usage.images if image.containers for piece in image.pieces}
    in_images = [layer for layer in usage.layers if layer.chain_id in named]
    cached = [layer for layer in usage.layers if layer.chain_id not in named]
    size = sum(layer.written for layer in in_images)
    free = sum(layer.written for layer in in_images if layer.chain_id not in used)
    written = sum(each.size for each in usage.containers)
    stopped = sum(each.size for each in usage.containers if not each.running)
    active = sum(1 for image in usage.images if image.containers)
    counted = _sharing(usage)
    mounts = usage.cache_mounts
    cache = sum(layer.written for layer in cached) + sum(mount.size for mount in mounts)
    busy = sum(mount.size for mount in mounts if mount.in_use)
    return {
        "Images": {
            **_kind(len(usage.images), active, size, free),
            "Exclusive": counted.exclusive_bytes,
            "Shared": counted.shared_bytes,
            "ReclaimableAlone": _alone(usage, counted),
        },
        "Containers": _kind(
            len(usage.containers), sum(1 for c in usage.containers if c.running), written, stopped
        ),
        "Local Volumes": _kind(
            len(usage.volumes),
            sum(1 for each in usage.volumes if each.in_use),
            sum(each.size for each in usage.volumes),
            sum(each.size for each in usage.volumes if not each.in_use),
        ),
        "Build Cache": _kind(
            len(cached) + len(mounts),
            sum(1 for mount in mounts if mount.in_use),
            cache,
            cache - busy,
        ),
        "Kept Blobs": _kind(0, 0, usage.blob_bytes, 0),
    }


def copied_bytes(usage: Usage) -> int:
    """What layers and containers take up where each is a full copy of all below it (vfs)."""
    sizes = {layer.id: layer for layer in usage.layers}
    whole = {image.id: sum(layer.size for layer in image.layers) for image in usage.images}
    total = sum(each.size + whole.get(each.image, 0) for each in usage.containers)
    for layer in usage.layers:
        below: Layer | None = layer
        while below is not None:
            total += below.size
            below = sizes.get(below.parent) if below.parent is not None else None
    return total


def _kind(total: int, active: int, size: int, reclaimable: int) -> Document:
    return {"Total": total, "Active": active, "Size": size, "Reclaimable": reclaimable}


def df_rows(document: Document) -> list[Document]:
    """`df`'s table, as docker draws it."""
    rows: list[Document] = []
    for kind, figures in document.items():
        assert isinstance(figures, dict)
        size, free = int(figures["Size"]), int(figures["Reclaimable"])
        share = f" ({free * 100 // size}%)" if size else ""
        rows.append(
            {
                "Type": kind,
                "TotalCount": str(figures["Total"]),
                "Active": str(figures["Active"]),
                "Size": human(size, 4),
                "Reclaimable": human(free, 4) + share,
            }
        )
    return rows


def df_image_rows(usage: Usage) -> list[Document]:
    """`df -v`'s images: shared and exclusive bytes add up to each image's size."""
    shares = {share.id: share for share in _sharing(usage).images}
    return [
        {
            "Name": image.names[0] if image.names else "<none>",
            "ID": image.id.short,
            "Size": human(shares[image.id].shared + shares[image.id].exclusive, 4),
            "SharedSize": human(shares[image.id].shared, 4),
            "UniqueSize": human(shares[image.id].exclusive, 4),
            "Containers": str(image.containers),
            "Reclaimable": human(0 if image.containers else shares[image.id].exclusive, 4),
        }
        for image in usage.images
    ]


def df_image_sum(usage: Usage) -> str:
    """How those rows add up: to what images take up, and to what `image prune -a` gives back."""
    images = df_document(usage)["Images"]
    assert isinstance(images, dict)
    exclusive, shared, size = images["Exclusive"], images["Shared"], images["Size"]
    alone, free = images["ReclaimableAlone"], images["Reclaimable"]
    return (
        f"{human(exclusive, 4)} in one image each + {human(shared, 4)} shared = {human(size, 4)}\n"
        f"{human(alone, 4)} in one unused image each + {human(free - alone, 4)} shared by unused"
        f" images alone = {human(free, 4)} reclaimable"
    )


def _sharing(usage: Usage) -> Sharing:
    return sharing([each.chain for each in usage.images])


def _alone(usage: Usage, counted: Sharing) -> int:
    """What removing the images that no container uses one by one would give back, each alone."""
    used = {image.id for image in usage.images if image.containers}
    return sum(share.exclusive for share in counted.images if share.id not in used)
