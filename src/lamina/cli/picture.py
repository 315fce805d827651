"""The strata picture in characters: a column per image, a row per level, a block per layer."""

from collections.abc import Mapping
from typing import NamedTuple

from lamina.analyze.paths import printable
from lamina.analyze.strata import Block, Strata
from lamina.values.digest import ChainID
from lamina.values.size import human

_BOXES = {"h": "─", "v": "│", "tl": "┌", "tr": "┐", "bl": "└", "br": "┘", "times": "×"}  # noqa: RUF001 - meant
_PLAIN = {"h": "-", "v": "|", "tl": "+", "tr": "+", "bl": "+", "br": "+", "times": "x"}
_CUT, _PLAIN_CUT = "…", "..."
_MARGIN = 11
_SIZES = 24
_NARROW, _WIDE = 14, 30


class Picture:
    """Draws strata within a width in characters; images that do not fit go below the others."""

    def __init__(
        self, strata: Strata, width: int, plain: bool, stored: Mapping[ChainID, int] | None = None
    ) -> None:
        """`stored` is what layers take up on disk, of those for which it is not their size."""
        self._strata = strata
        self._stored = stored or {}
        self._marks = _PLAIN if plain else _BOXES
        self._cut = _PLAIN_CUT if plain else _CUT
        count = max(len(strata.columns), 1)
        self._fits = (width - _MARGIN - _SIZES) // _NARROW >= count
        room = width - _MARGIN - (_SIZES if self._fits else 0)
        self._beside = count if self._fits else max(room // _NARROW, 1)
        self._column = max(_NARROW, min(_WIDE, room // self._beside))

    def text(self) -> str:
        """The picture, and the arithmetic below it."""
        if not self._strata.columns:
            return "no images\n"
        lines: list[str] = []
        for first in range(0, len(self._strata.columns), self._beside):
            lines += [*self._band(first), ""]
        return "\n".join(line.rstrip() for line in [*lines, *self._sums()]) + "\n"

    def _band(self, first: int) -> list[str]:
        """The images from number `first` on, as many as fit beside one another."""
        end = min(first + self._beside, len(self._strata.columns))
        drawn = [
            _Drawn(block, max(block.first, first) - first, min(block.last, end - 1) - first)
            for block in self._strata.blocks
            if block.first < end and block.last >= first
        ]
        lines = [self._header(first, end)]
        for level in range(max((each.block.level for each in drawn), default=-1), -1, -1):
            lines += self._level([each for each in drawn if each.block.level == level], level)
        return lines

    def _header(self, first: int, end: int) -> str:
        columns = self._strata.columns[first:end]
        names = [_end(column.name, self._column - 2, self._cut) for column in columns]
        cells = "".join(name.center(self._column) for name in names)
        return " " * _MARGIN + cells + ("     on disk   not shared" if self._fits else "")

    def _level(self, drawn: "list[_Drawn]", level: int) -> list[str]:
        rows = [self._row(drawn, number) for number in range(4)]
        label = f"  layer {level + 1}"
        return [
            " " * _MARGIN + rows[0],
            label.ljust(_MARGIN) + rows[1] + (self._sizes(drawn) if self._fits else ""),
            " " * _MARGIN + rows[2],
            " " * _MARGIN + rows[3],
        ]

    def _sizes(self, drawn: "list[_Drawn]") -> str:
        stored = sum(self._on_disk(each.block) for each in drawn)
        asked = sum(each.block.layer.size * each.block.users for each in drawn)
        return f"  {human(stored):>10}  {human(asked):>10}"

    def _on_disk(self, block: Block) -> int:
        return self._stored.get(block.layer.chain_id, block.layer.size)

    def _row(self, drawn: "list[_Drawn]", number: int) -> str:
        line = ""
        at = 0
        for each in drawn:
            line += " " * (self._column * (each.first - at))
            line += self._cell(each, number)
            at = each.last + 1
        return line + " " * (self._column * (self._beside - at))

    def _cell(self, drawn: "_Drawn", number: int) -> str:
        marks, block = self._marks, drawn.block
        inner = self._column * (drawn.last - drawn.first + 1) - 4
        if number in (0, 3):
            left, right = ("tl", "tr") if number == 0 else ("bl", "br")
            return f" {marks[left]}{marks['h'] * inner}{marks[right]} "
        if number == 1:
            command = f" {_both_ends(_short(block.command), inner - 2, self._cut)} "
            return f" {marks['v']}{command.ljust(inner)}{marks['v']} "
        size = human(block.layer.size)
        used = f"{marks['times']}{block.users}" if block.users > 1 else ""
        if used and len(f"{size} used {used}") <= inner - 2:
            used = f"used {used}"
        filling = f" {size}{used.rjust(inner - 2 - len(size))} "
        return f" {marks['v']}{filling[:inner].ljust(inner)}{marks['v']} "

    def _sums(self) -> list[str]:
        strata = self._strata
        stored = len(strata.blocks)
        asked = sum(block.users for block in strata.blocks)
        on_disk = sum(map(self._on_disk, strata.blocks))
        unshared = sum(block.layer.size * block.users for block in strata.blocks)
        saved = max(unshared - on_disk, 0)  # what is kept for another layer may cost a little
        share = f" ({saved * 100 // unshared} %)" if unshared else ""
        layers = "layer" if stored == 1 else "layers"
        return [
            f"  {stored} {layers} stored for {asked} asked for: {human(on_disk)} instead of "
            f"{human(unshared)}, {human(saved)}{share} saved"
        ]


class _Drawn(NamedTuple):
    """A block, and the columns of its band that it spans."""

    block: Block
    first: int
    last: int


def _short(command: str) -> str:
    """What made a layer, without the shell around it."""
    text = printable(" ".join(command.split())).removesuffix("# buildkit").strip()
    for prefix in ("RUN /bin/sh -c ", "/bin/sh -c #(nop) ", "/bin/sh -c "):
        if text.startswith(prefix):
            return text[len(prefix) :].strip()
    return text or "(imported)"


def _both_ends(text: str, width: int, cut: str) -> str:
    """A command by its beginning and its end: what tells two `apt-get install` apart is last."""
    text = " ".join(text.split())
    if len(text) <= width:
        return text
    head = max(width // 3, 1)
    return f"{text[:head]}{cut}{text[len(text) - (width - head - len(cut)) :]}"


def _end(name: str, width: int, cut: str) -> str:
    """A name by its end, for images of one registry begin alike; `:latest` tells nothing."""
    text = " ".join(name.split())
    if len(text) > width:
        text = text.removesuffix(":latest")
    return text if len(text) <= width else cut + text[len(text) - (width - len(cut)) :]
