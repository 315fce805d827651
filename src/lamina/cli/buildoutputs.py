"""Where `lamina build` is told to put what it builds, and with which annotations.

Of a build that is told neither, this is not loaded.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lamina.cli.buildflags import listed
from lamina.cli.flags import Parsed
from lamina.cli.platformflag import platforms_of
from lamina.errors import UsageError

if TYPE_CHECKING:  # the help does not load what builds
    from lamina.build import BuildRequest
    from lamina.build.annotations import Annotations
    from lamina.build.attests import Attests
    from lamina.build.outputs import Output
    from lamina.values.platform import Platform


def outputs_of(given: Parsed) -> "list[Output]":
    """All that `-o` and its short forms ask for, annotated; the store where that is nothing.

    Raises `UsageError`.
    """
    from lamina.engine.buildwords import (
        parse_output,
        refuse_deleting,
        refuse_several,
        with_annotations,
    )
    from lamina.engine.platforms import this_machine

    host = this_machine()
    outputs = [parse_output(text, host) for text in given.all("output") or ["type=image"]]
    stored = any(each.is_stored for each in outputs)
    if given.has("load") and not stored:
        outputs.append(parse_output("type=image", host))
    refuse_deleting(outputs, [".", *given.operands[:1], *_folders(given)])
    refuse_several(outputs, len(list(listed(platforms_of(given)))))
    if sum(1 for each in outputs if each.dest == "-") + given.has("quiet") > 1:
        raise UsageError("two things would be written to standard output", hint="name a dest=FILE")
    if given.has("push") and not (stored or given.has("load")):
        raise UsageError("what is pushed must be in the store", hint="add -o type=image")
    return with_annotations(outputs, _flagged(given, host))


def attests_of(given: Parsed, outputs: "Sequence[Output]") -> "Attests | None":
    """What is to be said of the image; raises `UsageError` where that has no place."""
    from lamina.engine.buildwords import parse_attests

    wanted = parse_attests(given.all("attest"), given.one("provenance"), given.one("sbom"))
    if not wanted.kinds:
        return None
    is_pushed = given.has("push") or any(each.push for each in outputs)
    if not is_pushed and not any(each.kind == "oci" for each in outputs):
        raise UsageError(
            "no output has room for what is said of the image: the store keeps none of it",
            hint="push it, or add -o type=oci,dest=FILE",
        )
    return wanted


def _folders(given: Parsed) -> list[str]:
    """What named contexts are, as far as they are folders."""
    return [each.partition("=")[2] for each in given.all("build-context")]


def refuse_unplaced(request: "BuildRequest", outputs: "Sequence[Output]") -> None:
    """Raise `UsageError` for an annotation that an output will have no place for."""
    from lamina.engine.buildwords import refuse_unplaced, targets_of
    from lamina.engine.platforms import this_machine

    platforms = [each.platform for each in targets_of(request, this_machine())]
    has_index = len(platforms) > 1 or bool(request.attests)
    for each in outputs:
        refuse_unplaced(each.annotations, platforms, has_index=has_index)


def _flagged(given: Parsed, host: "Platform") -> "Annotations":
    texts = given.all("annotation")
    if not texts:
        return ()
    from lamina.engine.buildwords import parse_annotation

    return tuple(one for text in texts for one in parse_annotation(text, host))
