"""One image's part of the report: the map of its bytes, waste by instruction, what to repair."""

from collections.abc import Iterable, Mapping, Sequence

from lamina.analyze.paths import readable
from lamina.analyze.portrait import Portrait
from lamina.analyze.treemap import Area
from lamina.analyze.waste import Finding, Waste, worth_showing
from lamina.values.digest import ChainID
from lamina.views.report.bars import Part, bar
from lamina.views.report.markup import data, name, share, size, spaced, table, text

_FINDINGS = 20
_PATHS = 5
Row = list[object]


def section(number: int, portrait: Portrait, colour: Mapping[ChainID, str]) -> str:
    """Everything of one image; `number` makes its elements' names unlike others'."""
    found = portrait.waste
    title = f"image{number}"
    return (
        f'<section class="image" aria-labelledby="{title}">'
        f'<h2 id="{title}">{name(portrait.name)}</h2>'
        f"<p>{_summed(found)}</p>"
        f"{_map(number, portrait, colour)}{_instructions(portrait, colour)}{_findings(found)}"
        "</section>"
    )


def _summed(found: Waste) -> str:
    told = (
        f"{size(found.stored)} stored in {len(found.layers)} layers, {size(found.visible)} seen, "
    )
    told += f"<strong>{size(found.wasted)} wasted</strong> "
    told += f"({text(share(found.wasted, found.stored))})"
    if found.wasted:
        told += f"; {size(found.unshared)} of that in layers that no other image has"
    return told + "."


# --- the map ----------------------------------------------------------------------------


def _map(number: int, portrait: Portrait, colour: Mapping[ChainID, str]) -> str:
    layers = [
        {"class": colour[chain], "name": f"Layer {at}: {layer.step.short}"}
        for at, (chain, layer) in enumerate(
            zip(portrait.chains, portrait.waste.layers, strict=True), 1
        )
    ]
    document = {"layers": layers, "root": _row(portrait.areas)}
    return (
        f'<figure class="map" aria-labelledby="map{number}"><figcaption id="map{number}">'
        "Bytes by path, coloured by the layer that stores them</figcaption>"
        '<div class="tools" hidden></div><p class="readout" aria-live="polite"></p>'
        '<div class="canvas"></div>'
        f"<details><summary>This folder as a table</summary>{_top(portrait)}</details>"
        f'<script type="application/json">{data(document)}</script></figure>'
    )


def _row(area: Area) -> Row:
    """[name, bytes, layer, hidden, files, inside...]: what the page's program reads."""
    shown = readable(area.name)[1:]
    return [shown, area.size, area.layer, int(area.hidden), area.files, *map(_row, area.inside)]


def _top(portrait: Portrait) -> str:
    rows = [
        [
            name(readable(area.name)) if area.name else f"{area.files:,} small files",
            size(area.size),
            text(share(area.size, portrait.areas.size)),
            size(_hidden(area)),
        ]
        for area in sorted(portrait.areas.inside, key=lambda each: (-each.size, each.name))
    ]
    headers = [("Path", False), ("Stored", True), ("Share", True), ("Hidden", True)]
    return table("The root by its largest parts", headers, rows)


def _hidden(area: Area) -> int:
    if area.layer >= 0:
        return area.size if area.hidden else 0
    return sum(map(_hidden, area.inside))


# --- instructions -----------------------------------------------------------------------


def _instructions(portrait: Portrait, colour: Mapping[ChainID, str]) -> str:
    found = portrait.waste
    whole = max((layer.stored for layer in found.layers), default=0)
    rows = []
    for number in range(len(found.layers), 0, -1):
        layer = found.layers[number - 1]
        wasted = layer.stored - layer.visible
        chosen = colour[portrait.chains[number - 1]]
        told = f"{layer.step.verb} {layer.step.text}".strip() or "(no history)"
        short = told if len(told) <= _LONG else told[: _LONG - 1] + "…"
        label = f"{spaced(layer.stored)} stored, {spaced(wasted)} hidden"
        rows.append(
            [
                f'<span class="key {chosen}"></span>{number}',
                f'<code title="{text(told)}">{name(short)}</code>'
                + (' <small class="tag">shared</small>' if layer.shared else ""),
                bar([Part(chosen, layer.stored, wasted, label)], whole, label),
                size(layer.stored),
                size(wasted) if wasted else "",
                size(layer.hides) if layer.hides else "",
            ]
        )
    headers = [
        ("Layer", False),
        ("Instruction", False),
        ("Stored, and hidden of it", False),
        ("Stored", True),
        ("Wasted", True),
        ("Hides below", True),
    ]
    return f"<h3>Waste by instruction</h3>{table('The uppermost layer first', headers, rows)}"


_LONG = 120


# --- findings ---------------------------------------------------------------------------


def _findings(found: Waste) -> str:
    shown = worth_showing(found.findings, found.stored)
    wasted = [each for each in shown if each.exact]
    advice = [each for each in shown if not each.exact]
    return _listed("What to repair", wasted, found) + _listed(
        "Seen, and perhaps not needed", advice, found
    )


def _listed(title: str, shown: Sequence[Finding], found: Waste) -> str:
    if not shown:
        return ""
    rest = shown[_FINDINGS:]
    more = f"<p>And {len(rest)} smaller ones, {size(_sum(rest))}.</p>" if rest else ""
    items = "".join(_finding(each, found) for each in shown[:_FINDINGS])
    return f'<h3>{text(title)}</h3><ol class="findings">{items}</ol>{more}'


def _sum(shown: Iterable[Finding]) -> int:
    return sum(each.size for each in shown)


def _finding(each: Finding, found: Waste) -> str:
    source, cause = found.layers[each.layer].step, found.layers[each.by].step
    by = (
        f" by layer {each.by + 1}, <code>{name(cause.short)}</code>"
        if each.by != each.layer
        else ""
    )
    paths = ""
    if each.files > 1:
        largest = ", ".join(
            f"<code>{name(readable(one.path))}</code> {size(one.size)}"
            for one in each.paths[:_PATHS]
        )
        paths = f'<p class="paths">{each.files:,} files, the largest: {largest}</p>'
    return (
        f'<li><p class="bytes">{size(each.size)}</p><div><p><strong>{name(each.title)}</strong>{by}'
        f"</p><p>Stored by layer {each.layer + 1}, <code>{name(source.short)}</code></p>{paths}"
        f'<p class="repair"><span>Repair</span> {name(each.repair)}</p></div></li>'
    )
