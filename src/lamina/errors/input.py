"""The peer answered wrongly: an archive, document, Dockerfile or registry off its contract."""

from lamina.errors.base import LaminaError


class BadInput(LaminaError):
    """Bytes from outside that are not what they claim to be."""

    http_status = 400


class BadArchive(BadInput):
    """A tar (or its compression) that is truncated, corrupt or hostile."""


class UnknownCompression(BadArchive):
    """A stream in a compression that Lamina does not read."""


class BadDocument(BadInput):
    """A manifest, config or index that does not have the shape its type demands."""


class DigestMismatch(BadInput):
    """Content whose digest or size is not the one that was promised."""


class NotTrusted(BadInput):
    """An image that is not signed as the policy wants, or that it rejects."""

    http_status = 403


class DockerfileError(BadInput):
    """A Dockerfile that cannot be read; carries where (file, line, column) and an excerpt."""

    def __init__(
        self,
        brief: str,
        *,
        file: str = "Dockerfile",
        line: int = 0,
        column: int = 0,
        excerpt: str = "",
        hint: str = "",
    ) -> None:
        super().__init__(brief, hint=hint, excerpt=excerpt)
        self.file = file
        self.line = line
        self.column = column

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}: " if self.line else f"{self.file}: "
        return where + super().__str__()


class BuildError(LaminaError):
    """A build step that could not be carried out."""


class StepFailed(BuildError):
    """A RUN step whose command ended with a non-zero exit status."""

    def __init__(
        self, brief: str, *, status: int, hint: str = "", details: str = "", excerpt: str = ""
    ) -> None:
        super().__init__(brief, hint=hint, details=details, excerpt=excerpt)
        self.status = status


class RegistryError(LaminaError):
    """A registry that answers otherwise than its protocol says, or says that it failed."""

    http_status = 502


class RegistryUnreachable(RegistryError):
    """A registry that cannot be reached, or stops in the middle of what it says."""


class AccessRefused(RegistryError):
    """A registry that wants credentials, or others than it was given."""

    http_status = 401
