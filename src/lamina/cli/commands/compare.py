"""`lamina compare`."""

from collections.abc import Iterator, Sequence

from lamina.analyze.compare import Comparison, FileChange, PackageChange
from lamina.analyze.paths import printable, readable
from lamina.analyze.waste import Waste
from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.looking import ELSEWHERE, WHERE, look
from lamina.cli.main import Context
from lamina.cli.output import document
from lamina.cli.session import engine
from lamina.cli.streams import written
from lamina.cli.tables import shortened
from lamina.values.size import human
from lamina.views.compare import comparison_document

USAGE = Usage(
    "[OPTIONS] IMAGE IMAGE",
    f"Show what differs between two images: config, layers, packages, files.\n{WHERE}",
    (
        Flag("all", "a", "", "every file, and not the largest changes alone"),
        Flag("exit-code", "", "", "exit with 1 when config, packages or files differ"),
        Flag("format", "", "FORMAT", "json, or a Go template over that document"),
        Flag("html", "", "FILE", "write an HTML page of it instead (-: standard output)"),
        Flag("json", "", "", "the same as --format json"),
        *ELSEWHERE,
    ),
    2,
    2,
)
_FILES = 20
_VALUE = 70
_MARKS = {"A": "+", "D": "-", "C": "~"}


def run(context: Context, given: Parsed) -> int:
    """Show."""
    target, wasted = given.one("html"), []
    with engine(context) as opened:
        before, after = (look(opened, given, name) for name in given.operands)
        trees = before.tree(), after.tree()
        found = before.compare(after, trees=trees)
        if target is not None:
            wasted = [
                each.waste(tree=tree) for each, tree in zip((before, after), trees, strict=True)
            ]
    if target is not None:
        _write_page(target, given.operands, wasted, found)
    else:
        format_ = "json" if given.has("json") else given.one("format")
        print(_shown(given.operands, found, format_, given.has("all")), end="")
    return 1 if given.has("exit-code") and not found.same else 0


def _write_page(
    target: str, names: Sequence[str], wasted: Sequence[Waste], found: Comparison
) -> None:
    from lamina.views.report import Side, comparison_page

    before, after = (Side(name, waste) for name, waste in zip(names, wasted, strict=True))
    with written(None if target == "-" else target) as write:
        write(comparison_page(before, after, found).encode())


def _shown(names: Sequence[str], found: Comparison, format_: str | None, everything: bool) -> str:
    if format_:
        one, other = names
        return document(comparison_document(one, other, found), format_)
    return "".join(f"{line}\n" for line in _lines(found, everything))


def _lines(found: Comparison, everything: bool) -> Iterator[str]:
    yield f"Layers: {found.common} in common, {_sides(len(found.before), len(found.after))}"
    if found.same:
        yield "Config, packages and files are the same"
    if found.settings:
        yield f"Config: {len(found.settings)} different"
    for setting in found.settings:
        before, after = (shortened(printable(each or "-"), _VALUE) for each in setting[1:])
        yield f"  {printable(setting.name)}: {before} -> {after}"
    if found.packages:
        yield f"Packages: {_counted([each.kind for each in found.packages])}"
    for package in found.packages:
        yield f"  {_package(package)}"
    if found.files:
        growth = sum(each.after - each.before for each in found.files)
        sign = "-" if growth < 0 else "+"
        counted = _counted([each.kind for each in found.files])
        yield f"Files: {counted}, {sign}{human(abs(growth), 4)}"
    yield from _files(found.files, everything)


def _sides(before: int, after: int) -> str:
    return f"{before} only in the first, {after} only in the second"


def _counted(kinds: Sequence[str]) -> str:
    names = {"A": "added", "D": "deleted", "C": "changed"}
    return ", ".join(f"{kinds.count(kind)} {name}" for kind, name in names.items())


def _package(each: PackageChange) -> str:
    versions = " -> ".join(", ".join(side) for side in (each.before, each.after) if side)
    where = f" ({each.architecture})" if each.architecture else ""
    return f"{_MARKS[each.kind]} {each.manager} {each.name} {versions}{where}"


def _files(changes: Sequence[FileChange], everything: bool) -> Iterator[str]:
    shown = list(changes)
    if not everything and len(shown) > _FILES:
        shown.sort(key=lambda each: -max(each.before, each.after))
        shown = sorted(shown[:_FILES], key=lambda each: each.path)
    for each in shown:
        sizes = {"A": human(each.after, 4), "D": human(each.before, 4)}.get(each.kind, "")
        what = f" ({', '.join(each.what)})" if each.what else ""
        yield f"  {each.kind} {readable(each.path)} {sizes}{what}".replace("  (", " (").rstrip()
    if len(shown) < len(changes):
        yield f"  ... and {len(changes) - len(shown):,} smaller ones (--all shows them)"
