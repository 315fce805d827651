"""The terminal explorer: layers on the left, the tree on the right, keys below. Draws and listens.

What is listed, and where the cursor goes, is `analyze.browse`.
"""

import curses
import os
from collections.abc import Callable

from lamina.analyze.browse import ADDED, CHANGED, REMOVED, Browser, Row
from lamina.analyze.paths import printable, readable
from lamina.analyze.waste import Waste
from lamina.archive.entry import DIR, SYMLINK
from lamina.cli.cells import cut
from lamina.errors import UsageError
from lamina.values.size import human

_KEYS = "↑↓ go  → open  ← close  [ ] layer  c changes  s sort  / search  n next  q quit"
_LEAST_LAYERS, _MOST_LAYERS = 22, 46  # cells of the left side
_SMALLEST = 40, 6  # cells and lines: below that nothing is drawn
_PAIRS = {ADDED: (1, curses.COLOR_GREEN), CHANGED: (2, curses.COLOR_YELLOW)}
_PAIRS |= {REMOVED: (3, curses.COLOR_RED)}
_TOO_SMALL = "make it 40 x 6 (q quits)"
_SEARCHED = 200  # characters


class Explorer:
    """One image on one terminal, until its user leaves."""

    def __init__(self, name: str, browser: Browser, waste: Waste) -> None:
        self._name = printable(name)
        self._browser = browser
        self._waste = waste
        self._top = 0
        self._searched = ""
        self._said = ""
        go = browser.move
        self._acts: dict[int | str, Callable[[], object]] = {
            curses.KEY_UP: lambda: go(-1),
            "k": lambda: go(-1),
            curses.KEY_DOWN: lambda: go(1),
            "j": lambda: go(1),
            curses.KEY_RIGHT: browser.enter,
            "l": browser.enter,
            "\n": browser.enter,
            curses.KEY_LEFT: browser.leave,
            "h": browser.leave,
            curses.KEY_HOME: lambda: go(-len(browser.rows)),
            "g": lambda: go(-len(browser.rows)),
            curses.KEY_END: lambda: go(len(browser.rows)),
            "G": lambda: go(len(browser.rows)),
            "[": lambda: browser.look(browser.layer - 1),
            "]": lambda: browser.look(browser.layer + 1),
            "c": browser.narrow,
            "s": browser.sort,
            "n": self._next,
        }

    def run(self, screen: curses.window) -> None:
        """Draw and listen."""
        curses.curs_set(0)
        curses.use_default_colors()
        for number, colour in _PAIRS.values():
            curses.init_pair(number, colour, -1)
        while True:
            self._draw(screen)
            try:
                key = screen.get_wch()
            except curses.error:
                continue  # a signal, such as for a new size
            self._said = ""
            if key == curses.KEY_RESIZE:
                screen.clear()
            if key == "q":
                return
            if key == "/":
                self._ask(screen)
            elif key in (curses.KEY_PPAGE, curses.KEY_NPAGE):
                page = screen.getmaxyx()[0] - 4
                self._browser.move(page if key == curses.KEY_NPAGE else -page)
            elif key in self._acts:
                self._acts[key]()

    # --- searching ----------------------------------------------------------------------

    def _ask(self, screen: curses.window) -> None:
        text = ""
        while True:
            self._said = f"/{text}"
            self._draw(screen)
            try:
                key = screen.get_wch()
            except curses.error:
                continue
            if key == "\n":
                break
            if key == "\x1b":
                self._said = ""
                return
            if key in (curses.KEY_BACKSPACE, "\x7f", "\b"):
                text = text[:-1]
            elif isinstance(key, str) and key.isprintable():
                text = (text + key)[:_SEARCHED]
        self._searched = text
        self._said = ""
        self._next()

    def _next(self) -> None:
        wanted = self._searched
        if wanted and not self._browser.search(wanted.encode(errors="surrogateescape")):
            self._said = f"nothing here is called {wanted}"

    # --- drawing ------------------------------------------------------------------------

    def _draw(self, screen: curses.window) -> None:
        _resize(screen)
        screen.erase()
        high, wide = screen.getmaxyx()
        if (wide, high) >= _SMALLEST and high >= _SMALLEST[1]:
            left = min(max(wide // 3, _LEAST_LAYERS), _MOST_LAYERS)
            self._draw_head(screen, wide, left)
            self._draw_layers(screen, high - 3, left)
            self._draw_tree(screen, high - 3, left, wide)
            line = self._said or self._about()
            _put(screen, high - 2, 0, line, wide, curses.A_BOLD if self._said else 0)
            _put(screen, high - 1, 0, _KEYS, wide, curses.A_DIM)
        else:
            _put(screen, 0, 0, _TOO_SMALL, wide, 0)
        screen.refresh()

    def _draw_head(self, screen: curses.window, wide: int, left: int) -> None:
        found = self._waste
        head = f"{self._name}  {human(found.stored)} stored, {human(found.wasted)} wasted"
        total = f"{human(self._browser.total)} as of layer {self._browser.layer + 1}"
        _put(screen, 0, 0, head.ljust(wide), wide, curses.A_REVERSE)
        if len(head) + len(total) + 2 < wide:
            _put(screen, 0, wide - len(total) - 1, total, wide, curses.A_REVERSE)
        for line in range(1, screen.getmaxyx()[0] - 2):
            _put(screen, line, left, "│", wide, curses.A_DIM)

    def _draw_layers(self, screen: curses.window, lines: int, left: int) -> None:
        layers = self._waste.layers
        first = _scrolled(0, self._browser.layer, lines, len(layers))
        for line, number in enumerate(range(first, min(first + lines, len(layers)))):
            layer = layers[number]
            text = f"{number + 1:>3} {human(layer.stored):>7}  {layer.step.short}"
            style = curses.A_REVERSE if number == self._browser.layer else 0
            _put(screen, line + 1, 0, text.ljust(left - 1), left, style)

    def _draw_tree(self, screen: curses.window, lines: int, left: int, wide: int) -> None:
        rows = self._browser.rows
        self._top = _scrolled(self._top, self._browser.at, lines, len(rows))
        if not rows:
            _put(screen, 1, left + 2, "nothing here", wide, curses.A_DIM)
        for line, number in enumerate(range(self._top, min(self._top + lines, len(rows)))):
            row = rows[number]
            style = curses.A_REVERSE if number == self._browser.at else 0
            if row.mark in _PAIRS:
                style |= curses.color_pair(_PAIRS[row.mark][0])
            _put(screen, line + 1, left + 2, self._line(row).ljust(wide - left - 2), wide, style)

    def _line(self, row: Row) -> str:
        size = human(row.size) if row.size else ""
        fold = ("▾ " if row.is_open else "▸ ") if row.node.children else "  "
        name = readable(row.node.name)[1:]
        version = self._browser.version(row.node)
        if version is not None and version.kind == DIR:
            name += "/"
        elif version is not None and version.kind == SYMLINK:
            name += f" → {readable(version.link)[1:]}"
        return f"{row.mark} {size:>7} {'  ' * min(row.depth, 20)}{fold}{name}"

    def _about(self) -> str:
        node = self._browser.current
        if node is None:
            return ""
        told = readable(node.path)
        version = self._browser.version(node)
        if version is None:
            return f"{told}  taken away by this layer"
        step = self._waste.layers[version.layer].step.short if version.layer >= 0 else ""
        mode = f"{version.mode:04o} {version.uid}:{version.gid}"
        return f"{told}  {mode}  by layer {version.layer + 1}, {step}"


def _resize(screen: curses.window) -> None:
    """Take up a new size, also one whose signal came together with another."""
    size = os.get_terminal_size()
    if curses.is_term_resized(size.lines, size.columns):
        curses.resizeterm(size.lines, size.columns)
        screen.clear()  # what a terminal keeps of a larger screen is its own affair


def _scrolled(top: int, at: int, lines: int, count: int) -> int:
    """The first line to show, so that `at` is seen and little moves."""
    top = min(max(top, at - lines + 1), at)
    return max(min(top, count - lines), 0)


def _put(screen: curses.window, line: int, column: int, text: str, wide: int, style: int) -> None:
    """Write what fits; the last cell of a terminal cannot be written to."""
    try:
        screen.addstr(line, column, cut(text, wide - column), style)
    except curses.error:
        pass


def explore(name: str, browser: Browser, waste: Waste) -> None:
    """Show an image on this terminal until its user leaves; raises `UsageError`."""
    try:
        curses.setupterm()
    except curses.error as error:
        raise UsageError(f"this terminal cannot be drawn on: {error}", hint="set TERM") from None
    curses.wrapper(Explorer(name, browser, waste).run)
