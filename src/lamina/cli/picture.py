"""The strata picture in characters: a column per image, a row per level, a block per layer."""

from lamina.analyze.strata import Block, Strata
from lamina.values.size import human

_BOXES = {"h": "─", "v": "│", "tl": "┌", "tr": "┐", "bl": "└", "br": "┘", "times": "×"}  # noqa: RUF001 - meant
_PLAIN = {"h": "-", "v": "|", "tl": "+", "tr": "+", "bl": "+", "br": "+", "times": "x"}
_MARGIN = 11
_NARROW, _WIDE = 14, 30


class Picture:
    """Draws strata within a width in characters."""

    def __init__(self, strata: Strata, width: int, plain: bool) -> None:
        self._strata = strata
        self._marks = _PLAIN if plain else _BOXES
        count = max(len(strata.columns), 1)
        self._column = max(_NARROW, min(_WIDE, (width - _MARGIN - 24) // count))

    def text(self) -> str:
        """The picture, and the arithmetic below it."""
        if not self._strata.columns:
            return "no images\n"
        lines = [self._header()]
        for level in range(self._strata.height - 1, -1, -1):
            lines += self._level(level)
        return "\n".join(line.rstrip() for line in [*lines, "", *self._sums()]) + "\n"

    def _header(self) -> str:
        names = [_fit(column.name, self._column - 2) for column in self._strata.columns]
        cells = "".join(name.center(self._column) for name in names)
        return " " * _MARGIN + cells + "     on disk   not shared"

    def _level(self, level: int) -> list[str]:
        blocks = [block for block in self._strata.blocks if block.level == level]
        rows = [self._row(blocks, number) for number in range(4)]
        stored = sum(block.layer.size for block in blocks)
        asked = sum(block.layer.size * block.users for block in blocks)
        sizes = f"  {human(stored):>10}  {human(asked):>10}"
        label = f"  layer {level + 1}"
        return [
            " " * _MARGIN + rows[0],
            label.ljust(_MARGIN) + rows[1] + sizes,
            " " * _MARGIN + rows[2],
            " " * _MARGIN + rows[3],
        ]

    def _row(self, blocks: list[Block], number: int) -> str:
        line = ""
        at = 0
        for block in blocks:
            line += " " * (self._column * (block.first - at))
            line += self._cell(block, number)
            at = block.last + 1
        return line + " " * (self._column * (len(self._strata.columns) - at))

    def _cell(self, block: Block, number: int) -> str:
        marks = self._marks
        inner = self._column * block.users - 4
        if number in (0, 3):
            left, right = ("tl", "tr") if number == 0 else ("bl", "br")
            return f" {marks[left]}{marks['h'] * inner}{marks[right]} "
        if number == 1:
            command = f" {_both_ends(_short(block.command), inner - 2)} "
            return f" {marks['v']}{command.ljust(inner)}{marks['v']} "
        used = f"used {marks['times']}{block.users}" if block.users > 1 else ""
        size = human(block.layer.size)
        filling = f" {size}{used.rjust(inner - 2 - len(size))} "
        return f" {marks['v']}{filling[:inner].ljust(inner)}{marks['v']} "

    def _sums(self) -> list[str]:
        strata = self._strata
        stored = len(strata.blocks)
        asked = sum(block.users for block in strata.blocks)
        on_disk = sum(block.layer.size for block in strata.blocks)
        unshared = sum(block.layer.size * block.users for block in strata.blocks)
        saved = unshared - on_disk
        share = f" ({saved * 100 // unshared} %)" if unshared else ""
        return [
            f"  {stored} layers stored for {asked} asked for: {human(on_disk)} instead of "
            f"{human(unshared)}, {human(saved)}{share} saved"
        ]


def _short(command: str) -> str:
    """What made a layer, without the shell around it."""
    text = command.removesuffix("# buildkit").strip()
    for prefix in ("RUN /bin/sh -c ", "/bin/sh -c #(nop) ", "/bin/sh -c "):
        if text.startswith(prefix):
            return text[len(prefix) :].strip()
    return text or "(imported)"


def _both_ends(text: str, width: int) -> str:
    """A command by its beginning and its end: what tells two `apt-get install` apart is last."""
    text = " ".join(text.split())
    if len(text) <= width:
        return text
    head = max(width // 3, 1)
    return f"{text[:head]}…{text[len(text) - (width - head - 1) :]}"


def _fit(text: str, width: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= width else text[: max(width - 1, 0)] + "…"
