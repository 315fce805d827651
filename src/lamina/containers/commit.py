"""`commit`: what a container changed becomes a layer of a new image."""

import time
from contextlib import nullcontext

from lamina.containers.settings import laid_over
from lamina.containers.store import ContainerStore, StoredContainer
from lamina.images import edit
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
    pause: bool = True,
) -> ImageID:
    """Make an image of the container as it is now; its own layer stays as it is.

    The image is run as the container was, with `changes` (Dockerfile instructions) applied to
    that. With `pause` a running container stands still while its layer is read. Durable when this
    returns. Raises `DockerfileError`, `UsageError`, `RuntimeFailure` or `StorageError`.
    """
    base = edit.as_base(store.images.config(stored.row.image_id).document)
    config = laid_over(edit.config_of(base), stored.settings)
    document: edit.Document = {**base, "config": config, "author": author}
    if changes:
        from lamina.images.changes import apply_changes  # the language: few ask for it

        document = apply_changes(document, changes)
    if not author:
        del document["author"]
    with store.paused(stored) if pause else nullcontext():
        layer = store.layers.snapshot_rw(stored.row.layer_id, made=store.made(stored))
    document = edit.with_layer(
        document,
        layer.diff_id if layer is not None else None,
        format_time(time.time()),
        " ".join(stored.settings.command),
        message,
        author,
    )
    image = store.images.create(ImageConfig.of(document), names)
    store.layers.barrier()
    named = names[0].familiar if names else ""
    store.announce(stored.row, "commit", comment=message, imageID=image, imageRef=named)
    return image
