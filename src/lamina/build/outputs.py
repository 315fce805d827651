"""What `-o` asks for, as values: where an image goes besides, or instead of, the store."""

import os
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from lamina.archive.packing import Packing
from lamina.build.annotations import Annotation, Annotations, parse_field
from lamina.errors import UsageError
from lamina.values.platform import Platform

STORE, DOCKER, OCI, TAR, LOCAL = "image", "docker", "oci", "tar", "local"
REGISTRY = "registry"  # docker's short word for an image that is pushed
NOWHERE = "cacheonly"  # docker's word for a build of which only the cache is wanted
_KINDS = (STORE, REGISTRY, DOCKER, OCI, TAR, LOCAL, NOWHERE)
_OPTIONS = (
    *("type", "dest", "compression", "compression-level", "force-compression", "name"),
    *("mode", "oci-mediatypes", "push", "tar", "unpack"),
)


class Output(NamedTuple):
    """One output: its kind, where it goes (empty: the store; `-`: standard output).

    An OCI archive's layers are compressed unless `plain`, and as `packing` says, if it says
    anything; so are those that a registry is sent. As a `folder` it is no archive but a layout. In
    a folder that holds a tree what is not of it stays, unless the output `deletes`. What is to
    `push` is in the store, too. Only the store and OCI's documents have room for `annotations`.
    """

    kind: str
    dest: str
    names: tuple[str, ...] = ()
    plain: bool = False
    folder: bool = False
    push: bool = False
    annotations: Annotations = ()
    packing: Packing | None = None
    deletes: bool = False

    @property
    def is_stored(self) -> bool:
        """Whether the image is to be in the store."""
        return not self.dest and self.kind != NOWHERE

    @property
    def is_annotated(self) -> bool:
        """Whether it has documents with room for annotations."""
        return self.kind == OCI or self.is_stored


def refuse_several(outputs: Sequence[Output], platforms: int) -> None:
    """Raise `UsageError` where an image for several platforms has no room."""
    for each in outputs:
        if platforms > 1 and each.kind == DOCKER and each.dest:
            raise UsageError(
                f"-o type={each.kind} holds one platform, and {platforms} are wanted",
                hint="use -o type=oci, or --push",
            )


def refuse_deleting(outputs: Sequence[Output], folders: Iterable[str]) -> None:
    """Raise `UsageError` where one of these folders would be deleted as a stranger."""
    needed = [os.path.realpath(each) for each in folders]
    for each in outputs:
        if not each.deletes:
            continue
        place = os.path.realpath(each.dest)
        for path in needed:
            if os.path.commonpath((place, path)) == place:
                raise UsageError(
                    f"mode=delete would empty {place}, and {path} is there",
                    hint="name a dest= for the output alone",
                )


def with_annotations(outputs: Sequence[Output], annotations: Annotations) -> list[Output]:
    """The same, annotated where there is room; raises `UsageError` where there is none."""
    for each in outputs:
        if each.kind == DOCKER and each.dest and (annotations or each.annotations):
            raise UsageError("a docker archive has no annotations", hint="use -o type=oci")
    if annotations and outputs and not any(each.is_annotated for each in outputs):
        raise UsageError("no output has room for an annotation", hint="add -o type=oci,dest=FILE")
    return [
        each._replace(annotations=(*each.annotations, *annotations)) if each.is_annotated else each
        for each in outputs
    ]


def parse_output(text: str, host: Platform) -> Output:
    """docker's `-o type=...,dest=...`, `-o DIR`, `-o -`; raises `UsageError`.

    `host` fills in what an annotation's platform leaves out.
    """
    if text == "-":
        return Output(TAR, "-")
    if "=" not in text:
        return Output(LOCAL, text, folder=True)
    fields, annotations = _fields(text, host)
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
    if not _is_true(fields.get("oci-mediatypes", "true")):
        raise UsageError(f"--output {text!r}: documents are OCI's", hint="leave it out")
    folder = fields.get("tar", "true").lower() in ("false", "0")
    if kind == NOWHERE:
        return Output(kind, "")
    if not dest and kind not in (STORE, DOCKER):
        if kind == LOCAL or folder:
            raise UsageError(f"--output {text!r} needs dest=DIR")
        dest = "-"
    names = tuple(filter(None, fields.get("name", "").split(",")))
    plain, packing = _packing(fields, f"--output {text!r}")
    if plain and kind == STORE:
        raise UsageError(f"--output {text!r}: a registry is sent gzip or zstd")
    output = Output(kind, dest, names, plain, folder or kind == LOCAL, push, (), packing)
    if annotations and not output.is_annotated:
        raise UsageError(f"--output {text!r} has no room for annotations", hint="use type=oci")
    return output._replace(annotations=annotations, deletes=_deletes(fields, kind, text))


def _is_true(text: str) -> bool:
    return text.lower() in ("true", "1")


def _fields(text: str, host: Platform) -> tuple[dict[str, str], Annotations]:
    fields: dict[str, str] = {}
    annotations: list[Annotation] = []
    for part in _parts(text):
        key, equals, value = part.partition("=")
        annotation = parse_field(key, value, f"--output {text!r}", host)
        if not equals or (annotation is None and key not in _OPTIONS):
            raise UsageError(
                f"--output {text!r} has an unknown field {part!r}",
                hint=f"it has {', '.join(_OPTIONS)} and annotation.KEY",
            )
        if annotation is None:
            fields[key] = value
        else:
            annotations.append(annotation)
    return fields, tuple(annotations)


def _parts(text: str) -> list[str]:
    """As a line of CSV, so that quotes may hold a comma."""
    if '"' not in text:
        return text.split(",")
    import csv  # only an annotation needs it

    try:
        (parts,) = csv.reader([text], strict=True)
    except (csv.Error, ValueError):
        raise UsageError(f"--output {text!r} is no line of comma-separated values") from None
    return parts


def _packing(fields: dict[str, str], option: str) -> tuple[bool, Packing | None]:
    """Whether layers stay plain, and else how they are compressed, if that is said."""
    kind, level = fields.get("compression"), fields.get("compression-level")
    if kind == "uncompressed":
        return True, None
    if kind is None and level is None:
        return False, None
    if level is not None and not (level.isascii() and level.isdigit() and len(level) < 4):
        raise UsageError(f"{option}: {level!r} is no level of compression")
    return False, Packing.checked(kind or "gzip", int(level) if level is not None else None)


def _deletes(fields: dict[str, str], kind: str, text: str) -> bool:
    mode = fields.get("mode", "copy")
    if mode not in ("copy", "delete"):
        raise UsageError(f"--output {text!r}: there is no mode {mode!r}", hint="use copy or delete")
    if mode == "delete" and kind != LOCAL:
        raise UsageError(f"--output {text!r}: mode=delete is for type=local")
    return mode == "delete"
