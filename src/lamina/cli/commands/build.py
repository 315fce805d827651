"""`lamina build`."""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lamina.cli.buildflags import FLAGS, Order, call_of, policy_of, request_of, with_environment
from lamina.cli.flags import Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.progress import Built, Progress, Silent
from lamina.cli.progressflag import is_quiet, kind_of_progress
from lamina.cli.session import engine
from lamina.cli.streams import written_file
from lamina.cli.transfers import verifies_tls
from lamina.engine import Engine
from lamina.errors import LaminaError, RuntimeFailure, StepFailed, UsageError
from lamina.values.digest import ImageID
from lamina.values.events import Sink

if TYPE_CHECKING:  # the help does not load what builds
    from lamina.build import BuildRequest, BuildResult
    from lamina.build.api import Debug, Shell
    from lamina.build.attests import Attests
    from lamina.build.outputs import Output

USAGE = Usage("[OPTIONS] PATH|URL|-", "Build an image from a Dockerfile", FLAGS, 1, 1)


def run(context: Context, given: Parsed) -> int:
    """Build, and say what came of it."""
    given, call = with_environment(given), call_of(given)
    if call.what != "build":
        from lamina.cli.calls import called

        with engine(context) as opened:
            return called(opened, given, call)
    quiet, progress = is_quiet(given), _progress(given)
    outputs = _outputs(given)
    names = given.all("tag") + [name for each in outputs for name in each.names]
    if _is_pushed(given, outputs) and not names:
        raise UsageError("what is pushed needs a name", hint="add -t REGISTRY/NAME:TAG")
    attests = _attests(given, outputs)
    request = request_of(
        given,
        names if _is_stored(outputs) else (),
        stored=_is_stored(outputs),
        kept=_is_pushed(given, outputs) or any(each.dest for each in outputs),
        annotations=[one for each in outputs if each.is_stored for one in each.annotations],
        attests=attests.kinds if attests is not None else frozenset(),
    )
    _refuse_unplaced(request, outputs)
    with engine(context) as opened, _output_of_failures(quiet), progress.running():
        result = opened.images.carry_out(
            request,
            pull=policy_of(given),
            verify_tls=verifies_tls(given),
            cache_from=given.all("cache-from"),
            cache_to=given.all("cache-to"),
            events=progress.sink,
            debug=_debug(given, progress),
            isolation=given.one("isolation") or "",
        )
        order = Order(request, outputs, names, attests, _is_pushed(given, outputs))
        digest = _delivered(opened, result, order, given, progress.sink)
        tags = opened.images.tags_of(result) if request.stored else []
        name = next(iter(tags), result.image_id.short) if request.stored else ""
        progress.finish(Built(result.image_id, tags, lambda: _shares(opened, result, name)))
    _write_papers(given, result.image_id, names, digest)
    if quiet:
        print(result.image_id)
    return 0


def _progress(given: Parsed) -> Progress:
    """How to say what happens."""
    explains = given.has("explain")
    kind = kind_of_progress(given, sys.stderr, "error")
    if kind == "quiet":
        return Silent()
    from lamina.cli.progresslines import Documents, Plain

    if kind == "json":
        return Documents(sys.stderr)
    if kind == "plain":
        return Plain(sys.stderr, explains=explains)
    from lamina.cli.live import Live

    return Live(sys.stderr, explains=explains, colours=not os.environ.get("NO_COLOR"))


def _shares(opened: Engine, result: "BuildResult", name: str) -> list[str]:
    """What each step added and wasted; nothing new is to be told when nothing was done.

    What cannot be told is said, and no failure: the image is made.
    """
    if not result.carried_out:
        return []
    from lamina.cli.shares import shares

    try:
        return shares(opened.images.built(result).waste(), result.own_layers, name)
    except LaminaError as error:
        return [f"warning: what each step added cannot be told: {error}"]


def _debug(given: Parsed, progress: Progress) -> "Debug | None":
    if not given.has("debug-shell"):
        return None
    if "-" in (given.operands[0], given.one("file")):
        raise UsageError(
            "standard input is read by the build, and a shell needs it",
            hint="name a file or a directory",
        )

    def debug(shell: "Shell") -> None:
        with progress.suspended():
            _look_around(shell)

    return debug


def _look_around(shell: "Shell") -> None:
    """A shell in the foreground; whatever becomes of it, the build ends as it would."""
    from lamina.cli.foreground import in_foreground
    from lamina.execution.run import Stdio

    tty = os.isatty(0) and os.isatty(1)
    print(
        "the step failed: this is a shell where it began; its end ends the build", file=sys.stderr
    )
    try:
        in_foreground(lambda: shell(Stdio(0, 1, 2), tty), tty=tty)
    except RuntimeFailure as error:
        print(f"there is no shell: {error}", file=sys.stderr)


@contextmanager
def _output_of_failures(quiet: bool) -> Iterator[None]:
    """A quiet build shows what a command wrote when it fails, and only then."""
    try:
        yield
    except StepFailed as error:
        if quiet and error.details:
            from lamina.cli.cells import harmless

            shown = harmless if sys.stderr.isatty() else str
            print(*map(shown, error.details.split("\n")), sep="\n", file=sys.stderr)
        raise


# --- where it goes ----------------------------------------------------------------------


def _outputs(given: Parsed) -> "list[Output]":
    if not given.all("output") and not given.all("annotation"):
        return []
    from lamina.cli.buildoutputs import outputs_of

    return outputs_of(given)


def _is_stored(outputs: "Sequence[Output]") -> bool:
    """Whether the image is to be in the store: it is the only output, or one of them."""
    return not outputs or any(each.is_stored for each in outputs)


def _is_pushed(given: Parsed, outputs: "Sequence[Output]") -> bool:
    return given.has("push") or any(each.push for each in outputs)


def _refuse_unplaced(request: "BuildRequest", outputs: "Sequence[Output]") -> None:
    if any(each.annotations for each in outputs):
        from lamina.cli.buildoutputs import refuse_unplaced

        refuse_unplaced(request, outputs)


def _attests(given: Parsed, outputs: "Sequence[Output]") -> "Attests | None":
    """What is to be said of the image; None for nothing."""
    if not any(given.all(name) for name in ("attest", "provenance", "sbom")):
        return None
    from lamina.cli.buildoutputs import attests_of

    return attests_of(given, outputs)


def _delivered(
    opened: Engine, result: "BuildResult", order: Order, given: Parsed, events: Sink
) -> str:
    """The digest of what is at its places now; "" where nothing has one."""
    if not order.is_pushed and not any(each.dest for each in order.outputs):
        return ""
    from lamina.cli.delivering import deliver

    registries = opened.registries(verify_tls=verifies_tls(given))
    return next(filter(None, deliver(opened, result, order, registries, events)), "")


def _write_papers(given: Parsed, image: ImageID, names: list[str], digest: str) -> None:
    iidfile, metadata = given.one("iidfile"), given.one("metadata-file")
    if iidfile:
        with written_file(iidfile) as write:
            write(image.encode("ascii"))
    if metadata:
        document = {
            "containerimage.config.digest": image,
            "containerimage.digest": digest or image,
            "image.name": ",".join(names),
        }
        with written_file(metadata) as write:
            write(json.dumps(document, indent=2).encode() + b"\n")
