"""The page of what differs between two images: layers, bytes by folder, packages, config, files.

It says everything without its program, which only narrows the long tables down. The same two images
give the same bytes.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from lamina.analyze.compare import Comparison, FileChange, PackageChange, folders
from lamina.analyze.paths import readable
from lamina.analyze.waste import LayerWaste, Waste
from lamina.views.report.bars import Part, bar
from lamina.views.report.markup import change, name, share, size, spaced, table, text
from lamina.views.report.shell import figures, whole

_FILES = 1000  # rows of the table of files: a page that opens in half a second
_PACKAGES = 5000
_FOLDERS = 20
_LONG = 400  # characters of one value of a config
_WORDS = {"A": "added", "D": "removed", "C": "changed"}
_COLOURS = 12


class Side(NamedTuple):
    """One of the two images: its name and its bytes by layer."""

    name: str
    waste: Waste


def comparison_page(before: Side, after: Side, found: Comparison) -> str:
    """The page."""
    body = [
        _layers(before, after, found),
        _folders(found),
        _packages(found.packages),
        _settings(found),
        _files(found.files),
    ]
    title = f"{before.name} and {after.name}: what differs"
    return whole(title, _header(before, after, found), body, "compare.js")


def _header(before: Side, after: Side, found: Comparison) -> str:
    grown = after.waste.visible - before.waste.visible
    shown = [
        (
            "Seen",
            size(after.waste.visible),
            f"{change(grown)} against {size(before.waste.visible)}",
        ),
        (
            "Layers in common",
            str(found.common),
            f"{len(found.before)} only in the first, {len(found.after)} only in the second",
        ),
        ("Packages", f"{len(found.packages):,}", _counted(each.kind for each in found.packages)),
        ("Config", f"{len(found.settings):,}", "settings that differ"),
        ("Files", f"{len(found.files):,}", _counted(each.kind for each in found.files)),
    ]
    return (
        f'<header><p class="brand">What differs</p><h1>{name(before.name)} '
        f'<span role="img" aria-label="and then">→</span> {name(after.name)}</h1>{figures(shown)}'
        '<nav aria-label="Parts"><a href="#layers">Layers</a><a href="#folders">Folders</a>'
        '<a href="#packages">Packages</a><a href="#config">Config</a><a href="#files">Files</a>'
        "</nav></header>"
    )


def _counted(kinds: Iterable[str]) -> str:
    every = list(kinds)
    return ", ".join(f"{every.count(kind):,} {word}" for kind, word in _WORDS.items())


def _section(title: str, heading: str, *parts: str) -> str:
    return (
        f'<section aria-labelledby="{title}"><h2 id="{title}">{heading}</h2>'
        f"{''.join(parts)}</section>"
    )


def _kind(kind: str) -> str:
    return f'<span class="kind {kind}">{_WORDS[kind]}</span>'


# --- layers -----------------------------------------------------------------------------


def _layers(before: Side, after: Side, found: Comparison) -> str:
    largest = max(before.waste.stored, after.waste.stored)
    colours = _colours(found)
    rows = [
        [
            name(side.name),
            bar(_parts(side, own), largest, f"{spaced(side.waste.stored)} in layers"),
            size(side.waste.stored),
            size(side.waste.visible),
            f"{size(side.waste.wasted)} ({text(share(side.waste.wasted, side.waste.stored))})",
        ]
        for side, own in zip((before, after), colours, strict=True)
    ]
    headers = [
        ("Image", False),
        ("Layers, the lowest first", False),
        ("Stored", True),
        ("Seen", True),
        ("Wasted", True),
    ]
    own_rows = [
        row
        for side, own, kind in zip((before, after), colours, ("D", "A"), strict=True)
        for row in _own(side, found.common, own, kind)
    ]
    own_headers = [("Layer", False), ("Of", False), ("Instruction", False), ("Stored", True)]
    return _section(
        "layers",
        "Layers",
        f"<p>{found.common} of them both have; those are grey.</p>",
        f'<div class="growth">{table("Both images on one scale", headers, rows)}</div>',
        table("Layers that one of them has, the lowest first", own_headers, own_rows)
        if own_rows
        else "<p>All layers are the same.</p>",
    )


def _colours(found: Comparison) -> tuple[list[str], list[str]]:
    """A class for each layer of either image; what both have is of one colour."""
    same = ["c0"] * found.common
    first = [f"c{number % _COLOURS + 1}" for number in range(len(found.before))]
    begin = len(first)
    second = [f"c{(begin + number) % _COLOURS + 1}" for number in range(len(found.after))]
    return same + first, same + second


def _parts(side: Side, own: Sequence[str]) -> list[Part]:
    return [
        Part(colour, layer.stored, layer.stored - layer.visible, _told(layer))
        for colour, layer in zip(own, side.waste.layers, strict=True)
    ]


def _told(layer: LayerWaste) -> str:
    return f"{layer.step.short}: {spaced(layer.stored)}"


def _own(side: Side, common: int, colours: Sequence[str], kind: str) -> list[list[str]]:
    rows = []
    for number, layer in enumerate(side.waste.layers[common:], common):
        made = f"{layer.step.verb} {layer.step.text}".strip() or "(no history)"
        rows.append(
            [
                f'<span class="key {colours[number]}"></span>{number + 1}',
                f'<span class="kind {kind}">{"first" if kind == "D" else "second"}</span>',
                f"<code>{name(_cut(made))}</code>",
                size(layer.stored),
            ]
        )
    return rows


def _cut(value: str) -> str:
    return value if len(value) <= _LONG else f"{value[:_LONG]}… ({len(value):,} characters)"


# --- bytes by folder --------------------------------------------------------------------


def _folders(found: Comparison) -> str:
    grown = folders(found.files)
    shown = grown[:_FOLDERS]
    scale = max((each.grown + each.shrunk for each in shown), default=0)
    rows = [
        [
            f"<code>{name(readable(each.path))}</code>",
            bar(
                [
                    Part("grown", each.grown, 0, f"{spaced(each.grown)} more"),
                    Part("shrunk", each.shrunk, 0, f"{spaced(each.shrunk)} less"),
                ],
                scale,
                f"{spaced(each.grown)} more, {spaced(each.shrunk)} less",
            ),
            size(each.grown) if each.grown else "",
            size(each.shrunk) if each.shrunk else "",
            change(each.grown - each.shrunk),
            f"{each.files:,}",
        ]
        for each in shown
    ]
    headers = [
        ("Folder", False),
        ("More and less", False),
        ("More", True),
        ("Less", True),
        ("Together", True),
        ("Files", True),
    ]
    rest = len(grown) - len(shown)
    more = f"<p>And {rest:,} folders with smaller differences.</p>" if rest else ""
    made = table("Bytes that files grew and shrank by", headers, rows) if rows else _NOTHING
    return _section("folders", "Where the bytes went", f'<div class="growth">{made}</div>', more)


_NOTHING = "<p>Nothing differs.</p>"


# --- packages, config, files ------------------------------------------------------------


def _packages(changes: Sequence[PackageChange]) -> str:
    rows = [
        [
            name(each.name),
            _kind(each.kind),
            text(each.manager),
            name(each.architecture),
            name(", ".join(each.before)),
            name(", ".join(each.after)),
        ]
        for each in changes[:_PACKAGES]
    ]
    headers = [
        (title, False) for title in ("Package", "Change", "By", "For", "Version before", "after")
    ]
    made = _narrowed("Packages that differ, by name", headers, rows, len(changes) - len(rows))
    return _section("packages", "Packages", made)


def _settings(found: Comparison) -> str:
    rows = [
        [name(_cut(each.name)), *(_value(side) for side in (each.before, each.after))]
        for each in found.settings
    ]
    headers = [("Setting", False), ("Before", False), ("After", False)]
    made = table("Settings of the config, as JSON", headers, rows) if rows else _NOTHING
    return _section("config", "Config", made)


def _value(value: str | None) -> str:
    return f"<code>{name(_cut(value))}</code>" if value is not None else "<small>not set</small>"


def _files(changes: Sequence[FileChange]) -> str:
    by_size = sorted(changes, key=lambda each: (-_weight(each), each.path))[:_FILES]
    rows = [
        [
            f"<code>{name(readable(each.path))}</code>",
            _kind(each.kind),
            text(", ".join(each.what)),
            size(each.before) if each.kind != "A" else "",
            size(each.after) if each.kind != "D" else "",
            change(each.after - each.before),
        ]
        for each in by_size
    ]
    headers = [
        ("Path", False),
        ("Change", False),
        ("What of it", False),
        ("Before", True),
        ("After", True),
        ("Difference", True),
    ]
    caption = "Files that differ, the largest difference first"
    made = _narrowed(caption, headers, rows, len(changes) - len(rows))
    return _section("files", "Files", made)


def _weight(each: FileChange) -> int:
    return abs(each.after - each.before) or (max(each.after, each.before) if each.what else 0)


def _narrowed(
    caption: str, headers: list[tuple[str, bool]], rows: list[list[str]], left: int
) -> str:
    """A table that the page's program lets be searched; `left` rows are not in it."""
    if not rows:
        return _NOTHING
    more = f"<p>And {left:,} more, not shown.</p>" if left else ""
    return (
        '<div class="narrowed"><div class="tools" hidden></div><p class="readout" role="status">'
        f"</p>{table(caption, headers, rows, long=True)}</div>{more}"
    )
