"""What `-o` asks for, as values: where an image goes besides, or instead of, the store."""

from collections.abc import Sequence
from typing import NamedTuple

from lamina.errors import UsageError

STORE, DOCKER, OCI, TAR, LOCAL = "image", "docker", "oci", "tar", "local"
REGISTRY = "registry"  # docker's short word for an image that is pushed
NOWHERE = "cacheonly"  # docker's word for a build of which only the cache is wanted
_KINDS = (STORE, REGISTRY, DOCKER, OCI, TAR, LOCAL, NOWHERE)
_OPTIONS = ("type", "dest", "compression", "name", "tar", "push")


class Output(NamedTuple):
    """One output: its kind, where it goes (empty: the store; `-`: standard output).

    An OCI archive's layers are compressed unless `plain`; as a `folder` it is no archive but a
    layout. What is to `push` is in the store, too.
    """

    kind: str
    dest: str
    names: tuple[str, ...] = ()
    plain: bool = False
    folder: bool = False
    push: bool = False

    @property
    def is_stored(self) -> bool:
        """Whether the image is to be in the store."""
        return not self.dest and self.kind != NOWHERE


def refuse_several(outputs: Sequence[Output], platforms: int) -> None:
    """Raise `UsageError` where an image for several platforms has no room."""
    for each in outputs:
        if platforms > 1 and each.kind in (DOCKER, TAR) and each.dest:
            raise UsageError(
                f"-o type={each.kind} holds one platform, and {platforms} are wanted",
                hint="use -o type=oci, or --push",
            )


def parse_output(text: str) -> Output:
    """docker's `-o type=...,dest=...`, `-o DIR`, `-o -`; raises `UsageError`."""
    if text == "-":
        return Output(TAR, "-")
    if "=" not in text:
        return Output(LOCAL, text, folder=True)
    fields = dict(_field(part, text) for part in text.split(","))
    kind, dest = fields.get("type", ""), fields.get("dest", "")
    if kind not in _KINDS:
        raise UsageError(
            f"--output {text!r}: there is no type {kind!r}", hint=f"it is {', '.join(_KINDS)}"
        )
    push = kind == REGISTRY or _is_true(fields.get("push", "false"))
    if push and kind not in (STORE, REGISTRY):
        raise UsageError(f"--output {text!r}: only type=image is pushed", hint="add --push")
    if kind == REGISTRY:
        kind = STORE
    folder = fields.get("tar", "true").lower() in ("false", "0")
    if kind == NOWHERE:
        return Output(kind, "")
    if not dest and kind not in (STORE, DOCKER):
        if kind == LOCAL or folder:
            raise UsageError(f"--output {text!r} needs dest=DIR")
        dest = "-"
    names = tuple(each for each in [fields.get("name", "")] if each)
    return Output(kind, dest, names, _is_plain(fields, text), folder or kind == LOCAL, push)


def _is_true(text: str) -> bool:
    return text.lower() in ("true", "1")


def _field(part: str, text: str) -> tuple[str, str]:
    key, equals, value = part.partition("=")
    if not equals or key not in _OPTIONS:
        raise UsageError(
            f"--output {text!r} has an unknown field {part!r}",
            hint=f"it has {', '.join(_OPTIONS)}",
        )
    return key, value


def _is_plain(fields: dict[str, str], text: str) -> bool:
    compression = fields.get("compression", "gzip")
    if compression not in ("gzip", "uncompressed"):
        raise UsageError(f"--output {text!r}: compression is gzip or uncompressed")
    return compression == "uncompressed"
