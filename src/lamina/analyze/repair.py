"""What a finding is called and how it is repaired, in a Dockerfile's own words. Pure.

Knows manners, places and instructions; counts nothing.
"""

import shlex
from typing import NamedTuple

from lamina.analyze.instruction import Step
from lamina.analyze.paths import readable
from lamina.analyze.places import Place

_COPIES = ("COPY", "ADD")


class Told(NamedTuple):
    """A finding in words: what was done, and what to do instead."""

    title: str
    repair: str


class Case(NamedTuple):
    """What became of bytes: the manner, the path or folder, what it became, how many files.

    `distance` is how many layers later it happened.
    """

    manner: str
    where: bytes
    to: bytes
    files: int
    distance: int


def hidden(case: Case, source: Step, cause: Step, place: Place | None) -> Told:
    """Of bytes that `source` stored and `cause` hid."""
    name = _name(case.where, case.files)
    when = _when(case.distance)
    if case.manner == "deleted":
        return Told(f"{name}, deleted {when}", _deleted(case, source, place))
    if case.manner == "moved":
        to = readable(case.to)
        return Told(f"{name}, moved to {to} {when}", _moved(case, source, cause))
    if case.manner == "attributes":
        changed = case.to.decode()
        what = "stored again unchanged" if changed == "nothing" else f"changed {changed} only"
        return Told(f"{name}, {what} {when}", _attributes(case, source, changed))
    return Told(f"{name}, overwritten {when}", _overwritten(case, source, cause))


def _deleted(case: Case, source: Step, place: Place | None) -> str:
    if not case.distance:
        return "the layer's own tar holds it and deletes it again: make the layer anew"
    if place is not None and place.title != "temporary files" and source.verb not in _COPIES:
        return place.repair
    if source.verb in _COPIES:
        return (
            f"use {_bind(case, source)} in the step that needs it, or download, unpack and remove"
            " it in one RUN, or leave it in a stage of its own"
        )
    if source.verb == "RUN":
        return f"end the RUN that makes it with `&& rm -rf {shlex.quote(readable(case.where))}`"
    return "it comes with the base: choose one without it, or squash the image"


def _bind(case: Case, source: Step) -> str:
    """The mount that would take a copy's place."""
    words = source.text.split()
    if case.files > 1 or len(words) != 2 or words[0].startswith(("-", "file:", "http")):
        return "RUN --mount=type=bind"
    return f"RUN --mount=type=bind,source={words[0]},target={readable(case.where)}"


def _moved(case: Case, source: Step, cause: Step) -> str:
    to = readable(case.to)
    if source.verb in _COPIES:
        return f"let {source.verb} bring it to {to} at once"
    if source.verb == "RUN":
        return f"make it at {to} at once, or move it in the RUN that makes it"
    return f"a move across layers stores it twice: leave it where it is and link to it from {to}"


def _attributes(case: Case, source: Step, changed: str) -> str:
    if changed in ("nothing", "time"):
        return "leave it alone: touching a file of a lower layer stores it whole once more"
    if source.verb in _COPIES:
        flags = [f"--chown on {source.verb}"] if "owner" in changed else []
        flags += [f"--chmod on {source.verb}"] if "mode" in changed else []
        return f"set it with {' and '.join(flags)}" if flags else "set it in the step that copies"
    if source.verb == "RUN":
        return "change it in the RUN that makes the files"
    return "the files come with the base: change only those that need it"


def _overwritten(case: Case, source: Step, cause: Step) -> str:
    if not case.distance:
        return "the layer's own tar holds it twice: make the layer anew"
    if source.verb in _COPIES:
        return f"leave it out of the first {source.verb}, or bring the final one at once"
    if source.verb == "RUN" and cause.verb == "RUN":
        return "do both in one RUN"
    if source.verb == "RUN":
        return f"bring the final one before the RUN, or do not make it there ({cause.verb} has it)"
    return "it comes with the base: choose a newer base, so that nothing must be replaced"


def expendable(place: Place, where: bytes, files: int, step: Step) -> Told:
    """Of files that are still there and that nobody needs."""
    return Told(f"{place.title} in {_name(where, files)}", place.repair)


def duplicate(files: int, path: bytes, first: bytes) -> Told:
    """Of files whose content is there under another name, the largest and its first name."""
    more = f" and {files - 1:,} more" if files > 1 else ""
    title = f"{readable(path)}{more}, of equal content to {readable(first)}"
    return Told(title, "keep one, and make the others links to it")


def _when(distance: int) -> str:
    if not distance:
        return "in the same layer"
    return "1 layer later" if distance == 1 else f"{distance} layers later"


def _name(where: bytes, files: int) -> str:
    return readable(where) if files == 1 else f"{readable(where)} ({files:,} files)"
