"""An image's waste as people read it: the sum, the layers, and what to repair, largest first."""

from collections.abc import Iterator, Sequence

from lamina.analyze.paths import readable
from lamina.analyze.waste import Finding, Waste, worth_showing
from lamina.cli.tables import shortened, table
from lamina.values.size import human

_FINDINGS = 10
_COMMAND = 60
_PATHS = 3


def text(name: str, found: Waste, *, everything: bool) -> str:
    """The whole screen; without `everything` only the ten largest findings of either sort."""
    lines = [*_sums(name, found), "", _layers(found).rstrip("\n")]
    shown = found.findings if everything else worth_showing(found.findings, found.stored)
    wasted = [each for each in shown if each.exact]
    advice = [each for each in shown if not each.exact]
    lines += _section("Wasted", wasted, found, everything)
    lines += _section("Seen, and perhaps not needed", advice, found, everything)
    return "\n".join(lines) + "\n"


def share(part: int, whole: int) -> str:
    """A part in percent, never shown as nothing when it is something."""
    if not part or not whole:
        return "0%"
    percent = part * 100 / whole
    return f"{percent:.1f}%" if percent >= 0.05 else "<0.1%"


def _sums(name: str, found: Waste) -> Iterator[str]:
    wasted = f"{human(found.wasted, 4)} ({share(found.wasted, found.stored)})"
    yield (
        f"{name}: {human(found.stored, 4)} stored, {human(found.visible, 4)} seen, {wasted} wasted"
    )
    if found.wasted:
        where = "of the waste lies in layers that no other image has"
        yield f"{human(found.unshared, 4)} {where}"
    dive = found.dive_efficiency
    yield f"efficiency {found.efficiency * 100:.1f}%, by dive's definition {dive * 100:.1f}%"


def _layers(found: Waste) -> str:
    headers = ("LAYER", "STORED", "SEEN", "WASTED", "HIDES", "INSTRUCTION")
    rows = []
    for number, layer in enumerate(found.layers, 1):
        line = f"{layer.step.line}: " if layer.step.line else ""
        rows.append(
            (
                f"{number}{' shared' if layer.shared else ''}",
                human(layer.stored, 4),
                human(layer.visible, 4),
                human(layer.stored - layer.visible, 4),
                human(layer.hides, 4),
                line + shortened(layer.step.short, _COMMAND),
            )
        )
    return table(headers, rows)


def _section(title: str, shown: Sequence[Finding], found: Waste, everything: bool) -> Iterator[str]:
    if not shown:
        return
    yield ""
    yield f"{title}:"
    for each in shown if everything else shown[:_FINDINGS]:
        yield from _finding(each, found)
    if len(shown) > _FINDINGS and not everything:
        rest = shown[_FINDINGS:]
        size = human(sum(each.size for each in rest), 4)
        yield f"  {size:>8}  in {len(rest)} smaller ones (--all shows them)"


def _finding(each: Finding, found: Waste) -> Iterator[str]:
    source, cause = found.layers[each.layer].step, found.layers[each.by].step
    yield f"  {human(each.size, 4):>8}  layer {each.layer + 1}, {_at(source.line)}{source.short}"
    hidden = each.by != each.layer
    by = f" by layer {each.by + 1}, {_at(cause.line)}{cause.short}" if hidden else ""
    yield f"            {each.title}{by}"
    if each.exact and each.files > 1:
        largest = (f"{readable(one.path)} {human(one.size, 4)}" for one in each.paths[:_PATHS])
        yield f"            largest: {', '.join(largest)}"
    yield f"            repair: {each.repair}"


def _at(line: int) -> str:
    return f"line {line}, " if line else ""
