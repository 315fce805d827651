"""Volumes as `docker volume ls` and `docker volume inspect` show them."""

from lamina.engine.volumes import Volume
from lamina.spec.imageconfig import format_time
from lamina.values.size import human

Document = dict[str, object]


def volume_row(volume: Volume, *, size: bool = False) -> Document:
    """One row; the size is only measured when it is asked for."""
    return {
        "Driver": "local",
        "Name": volume.name,
        "Labels": ",".join(f"{key}={value}" for key, value in volume.labels.items()),
        "Links": str(len(volume.users)),
        "Mountpoint": volume.mountpoint,
        "Scope": "local",
        "Size": human(volume.size) if size else "N/A",
    }


def volume_document(volume: Volume) -> Document:
    """A volume as `docker volume inspect` shows it."""
    labels: dict[str, str] = {"com.docker.volume.anonymous": ""} if volume.is_anonymous else {}
    labels.update(volume.labels)
    return {
        "CreatedAt": format_time(volume.created_at),
        "Driver": "local",
        "Labels": labels or None,
        "Mountpoint": volume.mountpoint,
        "Name": volume.name,
        "Options": None,
        "Scope": "local",
    }
