"""You asked wrongly: a malformed word, an unknown name, a thing that is in use."""

from lamina.errors.base import LaminaError


class UsageError(LaminaError):
    """The request itself cannot be carried out as it is worded."""

    http_status = 400


class InvalidDigest(UsageError):
    """A text that should be `sha256:<64 hex>` is not."""


class InvalidReference(UsageError):
    """A text that should name an image does not."""


class InvalidName(UsageError):
    """A container, stage or label name with characters that names may not have."""


class InvalidSize(UsageError):
    """A text that should be a size (`10m`, `1.5GB`) is not."""


class TemplateError(UsageError):
    """A `--format` template that does not parse, or that names an unknown field."""


class ConfigurationError(UsageError):
    """`daemon.json`, an environment variable or a global flag that cannot be used."""


class NotFound(LaminaError):
    """The named thing does not exist."""

    http_status = 404


class ImageNotFound(NotFound):
    """No image by that name, ID or digest."""


class ContainerNotFound(NotFound):
    """No container by that name or ID."""


class LayerNotFound(NotFound):
    """No layer by that ID, diff ID or chain ID."""


class VolumeNotFound(NotFound):
    """No volume by that name."""


class PathNotFound(NotFound):
    """No such path in an image, a container or a build context."""


class Conflict(LaminaError):
    """The thing exists or is in use, so the request would break it."""

    http_status = 409


class NameTaken(Conflict):
    """A container by that name exists already."""


class NotRunning(Conflict):
    """What was asked of a container needs it to run, and it does not."""


class InUse(Conflict):
    """An image, layer or container that something else still needs."""


class LockHeld(Conflict):
    """Another process holds the lock, and waiting has a bound."""
