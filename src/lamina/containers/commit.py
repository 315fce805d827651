"""`commit`: what a container changed becomes a layer of a new image."""

import time

from lamina.containers.store import ContainerStore, StoredContainer
from lamina.images import edit
from lamina.images.changes import apply_changes
from lamina.spec.imageconfig import ImageConfig, format_time
from lamina.values.digest import ImageID
from lamina.values.reference import Reference


def commit(
    store: ContainerStore,
    stored: StoredContainer,
    *,
    names: tuple[Reference, ...],
    message: str = "",
    author: str = "",
    changes: tuple[str, ...] = (),
) -> ImageID:
    """Make an image of the container as it is now; its own layer stays as it is.

    `changes` are Dockerfile instructions for the config. Durable when this returns. Raises
    `DockerfileError` or `StorageError`.
    """
    base = store.images.config(stored.row.image_id)
    document = apply_changes(base.document, changes)
    layer = store.layers.snapshot_rw(stored.row.layer_id)
    created = format_time(time.time())
    document = edit.with_layer(
        document,
        layer.diff_id if layer is not None else None,
        created,
        " ".join(stored.settings.args),
        message,
        author,
    )
    if author:
        document = {**document, "author": author}
    image = store.images.create(ImageConfig.of(document), names)
    store.layers.barrier()
    return image
