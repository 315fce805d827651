"""Names of images (distribution/reference's grammar): `[domain/]path[:tag][@digest]`.

`nginx` means `docker.io/library/nginx:latest`; what a user typed and what is stored are two
texts of one value: `familiar` and `str`.
"""

import re
from typing import NamedTuple, Self

from lamina.errors import InvalidDigest, InvalidReference
from lamina.values.digest import Digest

_DEFAULT_DOMAIN = "docker.io"
_LEGACY_DOMAIN = "index.docker.io"
_OFFICIAL = "library/"
_DEFAULT_TAG = "latest"
_NAME_LIMIT = 255

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*", re.ASCII)
_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?", re.ASCII)
_ALGORITHMS = frozenset(("sha256", "sha384", "sha512"))
_IDENTIFIER = re.compile(r"[a-f0-9]{64}")
_TAG = re.compile(r"[\w][\w.-]{0,127}", re.ASCII)


class Reference(NamedTuple):
    """An image's name in full; `tag` and `digest` may both be missing."""

    domain: str
    path: str
    tag: str | None
    digest: Digest | None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what a user typed; raises `InvalidReference` saying what is wrong."""
        rest, digest = _take_digest(text)
        rest, tag = _take_tag(rest)
        domain, path = _split_domain(rest)
        return cls._checked(text, domain, path, tag, digest)

    @classmethod
    def within(cls, domain: str, text: str) -> Self:
        """Path, tag and digest in a registry that is known to be one; raises `InvalidReference`."""
        rest, digest = _take_digest(text)
        path, tag = _take_tag(rest)
        return cls._checked(f"{domain}/{text}", domain, path, tag, digest)

    @classmethod
    def stored(cls, text: str) -> Self:
        """A canonical name that was checked when it came in: what `str` made of a reference."""
        rest, _, digest = text.partition("@")
        domain, _, path = rest.partition("/")
        path, _, tag = path.partition(":")
        return cls(domain, path, tag or None, Digest(digest) if digest else None)

    @classmethod
    def _checked(
        cls, text: str, domain: str, path: str, tag: str | None, digest: Digest | None
    ) -> Self:
        if not path:
            raise _invalid(text, "the name is empty")
        if path != path.lower():
            raise _invalid(text, "the name must be in lower case")
        if not _PATH.fullmatch(path):
            raise _invalid(text, f"{text[:80]!r} is no image name")
        if not _DOMAIN.fullmatch(domain):
            raise _invalid(text, f"{domain[:80]!r} is no registry")
        if len(path) > _NAME_LIMIT:
            raise _invalid(text, f"the name has over {_NAME_LIMIT} characters")
        if _IDENTIFIER.fullmatch(text):
            raise _invalid(text, "64 hexadecimal digits are an ID, not a name")
        return cls(domain, path, tag, digest)

    def with_default_tag(self) -> Self:
        """The same name, with `:latest` when it has neither tag nor digest."""
        if self.tag is not None or self.digest is not None:
            return self
        return self._replace(tag=_DEFAULT_TAG)

    @property
    def name(self) -> str:
        """Domain and path, in full."""
        return f"{self.domain}/{self.path}"

    @property
    def familiar_name(self) -> str:
        """The name as docker shows it: without the default domain and `library/`."""
        if self.domain != _DEFAULT_DOMAIN:
            return self.name
        return self.path.removeprefix(_OFFICIAL) if self.path.count("/") == 1 else self.path

    @property
    def familiar(self) -> str:
        """As docker shows it, tag and digest included."""
        return self.familiar_name + self._suffix

    @property
    def _suffix(self) -> str:
        tag = f":{self.tag}" if self.tag is not None else ""
        return tag + (f"@{self.digest}" if self.digest is not None else "")

    def __str__(self) -> str:
        return self.name + self._suffix


def refuse_ambiguous(given: Reference) -> None:
    """Raise `InvalidReference` for a name to be given to an image that reads as a digest."""
    if given.familiar_name in _ALGORITHMS:
        raise _invalid(given.familiar, f"{given.familiar_name} begins a digest, and is no name")


def is_short(text: str) -> bool:
    """Whether a name as it was typed says nothing of a registry, so that docker.io is meant."""
    return Reference.parse(text).domain == _DEFAULT_DOMAIN and not text.startswith(
        (f"{_DEFAULT_DOMAIN}/", f"{_LEGACY_DOMAIN}/")
    )


def _take_digest(text: str) -> tuple[str, Digest | None]:
    rest, at, digest = text.partition("@")
    if not at:
        return text, None
    try:
        return rest, Digest(digest)
    except InvalidDigest:
        raise _invalid(text, f"{digest[:80]!r} is no digest") from None


def _take_tag(text: str) -> tuple[str, str | None]:
    rest, colon, tag = text.rpartition(":")
    if not colon or "/" in tag:
        return text, None
    if not _TAG.fullmatch(tag):
        raise _invalid(text, f"{tag[:130]!r} is no tag")
    return rest, tag


def _split_domain(text: str) -> tuple[str, str]:
    first, slash, rest = text.partition("/")
    is_domain = slash and (
        "." in first or ":" in first or first == "localhost" or first != first.lower()
    )
    domain, path = (first, rest) if is_domain else (_DEFAULT_DOMAIN, text)
    if domain == _LEGACY_DOMAIN:
        domain = _DEFAULT_DOMAIN
    if domain == _DEFAULT_DOMAIN and path and "/" not in path:
        path = _OFFICIAL + path
    return domain, path


def _invalid(text: str, reason: str) -> InvalidReference:
    hint = "leave out the scheme" if "://" in text else "a name looks like registry/path:tag"
    return InvalidReference(f"invalid reference {text[:200]!r}: {reason}", hint=hint)
