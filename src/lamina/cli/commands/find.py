"""`lamina find`: which layer and instruction brought a file, and what became of it."""

from collections.abc import Iterator, Sequence

from lamina.analyze.find import Found, Seen
from lamina.analyze.instruction import Step
from lamina.analyze.paths import readable
from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.looking import ELSEWHERE, WHERE, look
from lamina.cli.main import Context
from lamina.cli.output import document
from lamina.cli.session import engine
from lamina.errors import PathNotFound
from lamina.values.size import human
from lamina.views.inside import found_document

USAGE = Usage(
    "[OPTIONS] IMAGE PATH|GLOB",
    f"Show which layer and instruction brought a file, and every version of it.\n{WHERE}",
    (
        Flag("format", "", "FORMAT", "json, or a Go template over the list"),
        Flag("json", "", "", "the same as --format json"),
        *ELSEWHERE,
    ),
    2,
    2,
)


def run(context: Context, given: Parsed) -> int:
    """Show; an error when nothing fits."""
    name, pattern = given.operands
    with engine(context) as opened:
        image = look(opened, given, name)
        found, steps = image.find(pattern), image.steps()
    format_ = "json" if given.has("json") else given.one("format")
    if format_:
        print(document([found_document(each, steps) for each in found], format_), end="")
    elif not found:
        raise PathNotFound(f"nothing in {name} fits {pattern!r}, and nothing ever did")
    else:
        print("".join(f"{line}\n" for each in found for line in _lines(each, steps)), end="")
    return 0


def _lines(found: Found, steps: Sequence[Step]) -> Iterator[str]:
    yield readable(found.path) + ("" if found.present else "  (gone)")
    for seen in found.versions:
        if seen.change == "unchanged" and seen.kind == "dir":
            continue  # a layer names the directories on the way to what it changes
        step = steps[seen.layer].short if seen.layer >= 0 else ""
        yield f"  layer {seen.layer + 1}  {seen.change:<10}  {_facts(seen):<32}  {step}".rstrip()


def _facts(seen: Seen) -> str:
    if not seen.kind:
        return ""
    owner = f"{seen.mode:04o} {seen.uid}:{seen.gid}"
    if seen.kind == "symlink":
        return f"link to {readable(seen.link)[1:]}"
    size = f" {human(seen.size, 4)}" if seen.kind == "file" else ""
    return f"{seen.kind} {owner}{size}"
