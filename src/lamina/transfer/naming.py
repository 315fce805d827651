"""What is wrong with a source is said with the source's name. Knows no form of archive."""

from collections.abc import Iterator
from contextlib import contextmanager

from lamina.errors import BadArchive, BadDocument, DigestMismatch


@contextmanager
def named(source: object) -> Iterator[None]:
    """Let what is wrong with the bytes of a path begin with that path; a stream has no name."""
    try:
        yield
    except (BadArchive, BadDocument, DigestMismatch) as error:
        if not isinstance(source, str):
            raise
        brief = f"{source}: {error.brief}"
        raise type(error)(brief, hint=error.hint, details=error.details) from error
